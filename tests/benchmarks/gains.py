"""What each part of the model adds to the lists along the stream: `python -m tests.benchmarks.gains [--limit N]`.

The scorer is trained once along MovieLens-100K, as `ouzel evaluate` does. Its two parts are trained separately, and
their vectors are concatenated, so lists with one of them need no other training. Prints HR@10 and NDCG@10 of the lists
without a model, with the part that reads texts, with the tower over item ids, and with both; and for each step the
paired difference with its 95% interval over users. `--events` reads a file.

Needs what `ouzel triton build` makes in `.ouzel/models`. The whole stream takes half an hour on two cores.
"""

import argparse
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin slow down those that work
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from deploy.commands.options import WORK
from deploy.datasets.dataset import Dataset, films, from_files
from deploy.evaluation.jobs import PREQUENTIAL, Job, Learned, judge
from deploy.evaluation.learners import learner
from deploy.evaluation.live_ranking import SETTINGS, WITH, WITHOUT
from deploy.evaluation.trainings import train
from deploy.learning.start import to_judge
from deploy.local.pool import in_children
from deploy.local.progress import told_by_bars
from inference.evaluation.intervals import interval
from inference.evaluation.protocol import DEPTH
from inference.evaluation.runner import Outcome
from inference.progress import Progress
from inference.settings import ModelSettings
from inference.training.learner import WIDTH
from inference.training.walk_forward import Readings
from inference.transformer.weights import name_of
from streams.graph.item_graph import Counting

NONE, TEXTS, TOWER, BOTH = "no model", "texts", "tower over ids", "texts and tower"
STEPS = ((NONE, TEXTS), (NONE, TOWER), (TEXTS, BOTH), (TOWER, BOTH), (NONE, BOTH))


def main() -> None:
    chosen = options()
    dataset = films() if chosen.events is None else from_files(chosen.events, chosen.items)
    with told_by_bars() as progress:
        found, users = judged(dataset, chosen, progress)
    print(dataset.note)
    for line in lines(found, users):
        print(line)
    if chosen.json:
        rows = {name: places.tolist() for name, places in found.items()}
        chosen.json.write_text(json.dumps({"data": dataset.note, "places": rows}) + "\n")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What each part of the model adds to the lists.")
    parser.add_argument("--events", type=Path, help="read events from a file instead, as `ouzel evaluate` does")
    parser.add_argument("--items", type=Path, help="their catalogue")
    parser.add_argument("--limit", type=int, help="use only the first events")
    parser.add_argument("--parts", type=int, default=20, help="the model is trained at the end of each but the last")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="auto, bf16 or fp32")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the language model")
    parser.add_argument("--json", type=Path, help="also write the places of the tests here")
    return parser.parse_args()


def judged(
    dataset: Dataset, chosen: argparse.Namespace, progress: Progress
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """The place of each test's item on each list, -1 if it is not listed, and each test's user."""
    settings = ModelSettings.make(dtype=chosen.dtype)
    adapter, _ = to_judge(None, dataset, name_of(settings.source))
    stream = dataset.stream(0, chosen.limit)
    (learned,), _ = train(
        learner(dataset.items, chosen.work, progress, start=adapter, settings=settings),
        ("scorer",),
        [stream],
        [item.id for item in dataset.items],
        parts=chosen.parts,
        last_out=False,
        seen=SETTINGS.seen,
        processes=1,
        progress=progress,
    )
    whole = learned["scorer"].along
    assert isinstance(whole, Readings)
    names = {TEXTS: slice(0, -WIDTH), TOWER: slice(-WIDTH, None), BOTH: slice(None)}
    jobs = [
        Job(
            seed=0,
            protocol=PREQUENTIAL,
            items=tuple(dataset.items),
            events=tuple(stream),
            learned={"scorer": Learned(part(whole, of))},
            settings=SETTINGS,
            counting=Counting(),
        )
        for of in names.values()
    ]
    outcomes = in_children(_judge, jobs, processes=chosen.processes, progress=progress)
    found = {NONE: places(outcomes[0], WITHOUT)}
    found |= {name: places(outcome, WITH) for name, outcome in zip(names, outcomes, strict=True)}
    people = [stream[test.at].user for test in outcomes[0].tests]
    return found, np.unique(people, return_inverse=True)[1]


def part(whole: Readings, of: slice) -> Readings:
    """The readings of one part of the scorer: some columns of its vectors."""
    return Readings(
        whole.contexts[:, of],
        whole.version,
        [one[:, of] for one in whole.vectors],
        whole.known,
        whole.read,
        whole.places,
    )


def places(outcome: Outcome, name: str) -> NDArray[np.int64]:
    return np.array([-1 if place is None else place for place in outcome.row(name)], np.int64)


def lines(found: Mapping[str, NDArray[np.int64]], users: NDArray[np.int64]) -> list[str]:
    said = [f"{len(users):,} tests"]
    measures: dict[str, Any] = {
        "HR@10": lambda at: ((at >= 0) & (at < DEPTH)).astype(np.float64),
        "NDCG@10": lambda at: np.where((at >= 0) & (at < DEPTH), 1 / np.log2(at.clip(0) + 2.0), 0.0),
    }
    for name, measure in measures.items():
        said.append(f"{name}: " + ", ".join(f"{each} {measure(at).mean():.4f}" for each, at in found.items()))
        for before, after in STEPS:
            gain = interval(measure(found[after]) - measure(found[before]), users)
            between = gain.missing if gain.low is None else f"{gain.low:+.4f} to {gain.high:+.4f}"
            said.append(f"{name}: {before} -> {after}: {gain.mean:+.4f} ({between})")
    return said


def _judge(job: Job, progress: Progress) -> Outcome:
    return judge(job, partial(progress, f"judging {job}"))


if __name__ == "__main__":
    main()
