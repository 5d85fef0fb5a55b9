"""What learning is compared with: the start model, and the evaluation's model, retrained at every twentieth.

Both take minutes to an hour, so they are kept in a folder and made once.
"""

from pathlib import Path

import numpy as np
import torch

from deploy.evaluation.learners import EPOCHS, PACES
from inference.item_tokens.adapter import Cut, load, save
from inference.progress import Progress
from inference.training.histories import Histories
from inference.training.learner import LAYERS, SCORER, WIDTH, Base, Learner
from inference.training.schedule import TOWER
from inference.training.trainer import Trainer
from inference.training.walk_forward import Floats, Readings, averaged, fit

PARTS = 20


def retrained(
    base: Base, readings: Floats, histories: Histories, kept: Path, *, progress: Progress, parts: int = PARTS
) -> Readings:
    """The readings of the evaluation's scorer, retrained at the end of each of the `parts` but the last."""
    path = kept / f"retrained-{len(histories)}-{parts}.npz"
    if not path.exists():
        learner = Learner(base, readings, paces=PACES, epochs=EPOCHS)
        cuts = sorted({histories.before(len(histories) * part // parts) for part in range(1, parts)} - {0})
        (found,) = learner.walk("scorer", [histories], cuts, progress)
        write(path, found)
    return read(path)


def start(base: Base, readings: Floats, histories: Histories, cut: int, kept: Path, *, progress: Progress) -> Path:
    """The folder of an adapter that learned the first `cut` events with the evaluation's recipe."""
    folder = kept / f"start-{cut}"
    if not folder.exists():
        base.use_threads()
        torch.manual_seed(0)
        network = base.network(readings, layers=LAYERS, rank=16, residuals=True, tower=WIDTH, forget=0.1, dropout=0.2)
        assert network.tower is not None
        tower = Trainer(network.tower, histories, TOWER, 0)
        fit(tower, cut, TOWER, EPOCHS["tower"], "start, tower", progress)
        text = Trainer(network.text, histories, SCORER, 0)
        fit(text, cut, SCORER, EPOCHS["text"], "start, text", progress)
        end = Cut(ts=int(histories.ts[cut - 1]) + 1, share=cut / len(histories))
        with averaged((tower, text)):
            made = network.adapter(base.name, histories.items, histories.met(cut), depths=base.depths, cut=end)
            save(folder, made, "# The start model of a benchmark\n")
    load(folder)
    return folder


def write(path: Path, found: Readings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp.npz")
    np.savez(
        aside, contexts=found.contexts, version=found.version, vectors=np.stack(found.vectors),
        known=np.stack(found.known), read=found.read, places=found.places,
    )  # fmt: skip
    aside.rename(path)


def read(path: Path) -> Readings:
    with np.load(path) as found:
        return Readings(
            found["contexts"], found["version"], list(found["vectors"]), list(found["known"]),
            int(found["read"]), int(found["places"]),
        )  # fmt: skip
