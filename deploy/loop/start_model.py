"""The model that a loop starts from: trained on the beginning of the stream, in a separate process, and stored.

`python -m deploy.loop.start_model FOLDER WORK SEED LIMIT SHARE` trains on the first SHARE of the stream (of its first
LIMIT events; 0: all) and writes FOLDER, an adapter with `start.json` in it. It prints one line per step as
`deploy.local.build_model` does. An interrupted training continues from its last checkpoint.

The training is that of `ouzel train --residuals --finish`, with one text for each item and no training on lists: texts
are read once, which serving needs anyway, and vectors are what lists of a large catalogue come from.
"""

import sys
from hashlib import blake2b
from pathlib import Path
from time import monotonic

import msgspec

from deploy.datasets.dataset import Dataset, films
from deploy.learning.adapter import MOVIELENS_TERMS, Options, train
from deploy.local.build_model import report
from deploy.local.priority import NICENESS, lower_priority
from inference.errors import InferenceError
from inference.settings import ModelSettings, readings_of
from inference.training.learner import Base
from inference.training.schedule import Plan
from inference.transformer.weights import convert
from inference.triton.repository import weights_of

RECORD = "start.json"
VARIANTS = 1
PLAN = Plan(list_epochs=0, finish=True)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How the start model was made. `dtype` is the number format in which it was trained and is served; `ndcg` is its
    NDCG@10 on the `tests` that were held out before the last pass."""

    dtype: str
    seconds: float
    ndcg: float
    tests: int


def digest(dataset: Dataset, seed: int, limit: int | None, share: float) -> str:
    """A name for the training: the same data and settings give the same."""
    events = dataset.stream(seed, limit)
    whole = blake2b(digest_size=6)
    for event in events[: int(len(events) * share)]:
        whole.update(f"{event.id} {event.ts} ".encode())
    whole.update(f"{seed} {share!r} {VARIANTS} {PLAN!r}".encode())
    return whole.hexdigest()


def read(folder: Path) -> Start | None:
    """The record of a finished training; None if there is none."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Start)
    except (OSError, msgspec.DecodeError):
        return None


def main(folder: str, work: str, seed: str, limit: str, share: str) -> int:
    lower_priority(NICENESS)
    out, began = Path(folder), monotonic()
    settings, repository = ModelSettings(), Path(work) / "models" / "repository"
    options = Options(
        out=out,
        until=float(share),
        limit=int(limit) or None,
        residuals=True,
        variants=VARIANTS,
        seed=int(seed),
        resume=True,
        plan=PLAN,
    )
    try:
        base = Base(convert(weights_of(repository), settings, report), readings_of(repository, settings), settings)
        _, trained = train(films(), options, base, terms=MOVIELENS_TERMS, progress=report)
    except InferenceError as error:
        print(error, flush=True)  # noqa: T201 - the parent reads it
        return 1
    found = Start(
        dtype=base.chosen.settings.dtype.value,
        seconds=round(monotonic() - began, 1),
        ndcg=trained.validation.ndcg,
        tests=trained.validation.tests,
    )
    (out / RECORD).write_bytes(msgspec.json.encode(found))  # last: it says that the training is complete
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
