"""The trainings of an evaluation: each model along the stream, and on all but the tests, in separate processes.

One training serves all orders of ties (`inference.training.walk_forward`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.datasets.dataset import feeling
from deploy.evaluation.jobs import LEAVE_LAST_OUT, Kind, Learned, planned
from deploy.local.pool import in_children
from inference.evaluation.protocol import before_tests
from inference.evaluation.retrieval import Readings
from inference.progress import Progress
from inference.training.histories import Histories
from schemas.events import Event
from schemas.seen import SeenRules


class Learner(Protocol):
    """Trains the models to judge. One training serves all streams, which differ only in the order of ties."""

    def walk(
        self, kind: Kind, streams: Sequence[Histories], cuts: Sequence[int], progress: Progress
    ) -> Sequence[Readings]:
        """Train at each cut on the events before it, then read the contexts up to the next cut."""

    def hold_out(
        self,
        kind: Kind,
        learned: Histories,
        streams: Sequence[Histories],
        tests: Sequence[NDArray[np.int64]],
        progress: Progress,
    ) -> Sequence[Readings]:
        """Train on `learned`, then read the contexts before the `tests`, which are indexes into each stream."""


@dataclass(frozen=True)
class Along:
    """A training along the streams, repeated at each of `cuts`."""

    learner: Learner
    kind: Kind
    streams: Sequence[Histories]
    cuts: Sequence[int]


@dataclass(frozen=True)
class HeldOut:
    """A training on `learned`, which contains no test of any stream."""

    learner: Learner
    kind: Kind
    streams: Sequence[Histories]
    learned: Histories
    tests: Sequence[NDArray[np.int64]]


def train(
    learner: Learner,
    kinds: Sequence[Kind],
    streams: Sequence[Sequence[Event]],
    items: Sequence[str],
    *,
    parts: int,
    last_out: bool,
    seen: SeenRules,
    processes: int,
    progress: Progress,
) -> tuple[list[dict[Kind, Learned]], list[int]]:
    """Each model's readings of each stream, and the cuts: the indexes of the events before which it was trained, which
    are the ends of all `parts` but the last.

    `last_out` (leave-last-out) also trains along the stream, from which the blend learns the model's weight.
    """
    histories = [Histories.of(stream, items, feeling) for stream in streams]
    total = len(streams[0])
    cuts = sorted({histories[0].before(total * part // parts) for part in range(1, parts)} - {0})
    jobs: list[Along | HeldOut] = [Along(learner, kind, histories, cuts) for kind in kinds]
    if last_out:
        plans = [planned(LEAVE_LAST_OUT, stream, seed, seen) for seed, stream in enumerate(streams)]
        tests = [np.array([step.at for step in plan.steps if step.test], np.int64) for plan in plans]
        rest = Histories.of(before_tests(streams, [one.tolist() for one in tests]), items, feeling)
        jobs += [HeldOut(learner, kind, histories, rest, tests) for kind in kinds]
    said = in_children(_train, jobs, processes=processes, progress=progress)
    along, held = said[: len(kinds)], said[len(kinds) :]
    learned: list[dict[Kind, Learned]] = [
        {kind: Learned(along[at][seed], held[at][seed] if held else None) for at, kind in enumerate(kinds)}
        for seed in range(len(streams))
    ]
    return learned, cuts


def _train(job: Along | HeldOut, progress: Progress) -> Sequence[Readings]:
    if isinstance(job, Along):
        return job.learner.walk(job.kind, job.streams, job.cuts, progress)
    return job.learner.hold_out(job.kind, job.learned, job.streams, job.tests, progress)
