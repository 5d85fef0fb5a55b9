"""A version of the store as a policy on logged lists: the softmax of its vectors' logits over the whole catalogue.

The version reads each user's history before the list, and its logits are those that it was trained with. Items that the
user has met have no chance.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from deploy.datasets.dataset import feeling
from deploy.errors import BadSource
from deploy.learning.adapter import texts
from deploy.learning.gates import WeightsLoader
from deploy.learning.work import served_settings
from deploy.off_policy.decision_log import Scored
from deploy.off_policy.training_log import Logged
from inference.settings import ADAPTER, readings_of
from inference.training.histories import Histories, owners
from inference.training.impressions import NO_HISTORY
from inference.triton.repository import weights_of
from inference.triton.server import MODEL
from inference.versions.gates.held_out import HeldOut
from inference.versions.gates.measuring import Asked
from inference.versions.store import VersionStore

CHUNK = 32
PREFIX = "version:"


def adapter_of(store: VersionStore, repository: Path, number: int) -> Path:
    """The folder of a version's adapter. Raises `BadSource` if there is no such version."""
    for folder in (store.folder(number) / ADAPTER, repository / MODEL / str(number) / ADAPTER):
        if folder.is_dir():
            return folder
    raise BadSource(
        f"there is no version {number} in {store.root} or {repository}. `ouzel models list` shows which there are."
    )


def version_scores(
    number: int, of: Logged, store: VersionStore, repository: Path, temperature: float
) -> Iterator[Mapping[str, Scored]]:
    """The scores of a version for each list. Raises `BadSource`, `WeightsError`."""
    folder = adapter_of(store, repository, number)
    settings = served_settings(repository, [store.record(each).name for each in store.numbers()])
    settings = msgspec.structs.replace(settings, threads=1)
    loader = WeightsLoader(weights_of(repository), settings, readings_of(repository, settings))
    histories = Histories.of(of.events, [item.id for item in of.items], feeling)
    owner_of = owners(of.events)
    held = HeldOut(histories, texts(of.items), np.zeros(0, np.int64), len(histories))
    engine = loader.engine(folder, exact=False)
    asked, slope = Asked(engine, held), engine.slope
    places = np.searchsorted(histories.ts, np.array([one.published for one in of.lists], np.int64), side="right")
    rows = np.array([owner_of.get((one.user, one.scene), NO_HISTORY) for one in of.lists], np.int64)
    for begin in range(0, len(rows), CHUNK):
        here = slice(begin, begin + CHUNK)
        for logits in asked.logits(places[here].astype(np.int64), rows[here]).astype(np.float64):
            allowed = np.flatnonzero(logits > -np.inf)
            yield {f"{PREFIX}{number}": Scored(allowed, logits[allowed] / (slope * temperature))}
