"""Create the learner that trains an evaluation's models on this machine's language model."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from inference.item_tokens.adapter import Adapter
from inference.progress import Progress
from inference.settings import ModelSettings, readings_of
from inference.training.learner import Base, Learner, Part
from inference.training.walk_forward import Pace
from inference.transformer.weights import convert
from inference.triton.repository import weights_of
from schemas.items import Item
from streams.items.catalogue import Catalogue

USUAL = ModelSettings()

PACES: dict[Part, Pace] = {
    "text": Pace(first=16, fresh=1, again=2.0),
    "tower": Pace(first=40, fresh=2, again=12.0),
    "sasrec": Pace(first=40, fresh=2, again=12.0),
    "esasrec": Pace(first=40, fresh=2, again=12.0),
}
EPOCHS: dict[Part, int] = {"text": 16, "tower": 40, "sasrec": 40, "esasrec": 40}
"""Models of item ids start without knowledge, so they get more epochs, which are cheaper."""


def learner(
    items: Sequence[Item],
    work: Path,
    progress: Progress,
    processes: int = 1,
    *,
    scorer: bool = True,
    start: Adapter | None = None,
    settings: ModelSettings = USUAL,
) -> Learner:
    """A learner for these items, with the weights and readings that serving stores under `work`.

    `processes` learners share the threads that the settings allow. Without the `scorer`, no item is read; otherwise it
    starts from `start`. Raises
    `WeightsError`.
    """
    repository = work / "models" / "repository"
    weights, kept = convert(weights_of(repository), settings, progress), readings_of(repository, settings)
    catalogue = Catalogue()
    for item in items:
        catalogue.add(item)
    texts = [catalogue.described(number) for number in range(len(items))]
    base = Base(weights, kept, settings)
    progress(f"training in {base.chosen}", 1, 1)
    readings = base.readings(texts, 1, 0, progress) if scorer else np.zeros((1, len(items), 0, 0), np.float32)
    settled = base.chosen.settings
    shared = msgspec.structs.replace(settled, threads=max(1, settled.threads // processes))
    return Learner(Base(weights, kept, shared), readings, paces=PACES, epochs=EPOCHS, start=start)
