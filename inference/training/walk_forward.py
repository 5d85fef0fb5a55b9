"""Walk-forward training: models are trained along a stream on past events and scored on the events that follow.

Models are trained once and scored on several orders of the stream, which differ only in the order of events of the same
second (tie seeds). Each training set ends where time advances, so it is the same in every order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray

from inference.item_tokens.heads import feeling_rows
from inference.progress import Progress, silent
from inference.training.histories import NO_ITEM, Histories, Ints
from inference.training.network import Network
from inference.training.sequences import Reading, readings
from inference.training.trainer import Recipe, Trainer, falling

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

READ_AT_ONCE = 64


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The amount of training: `first` passes over all events so far at the first cut. At each later cut, `fresh` passes
    over the pieces with new events, and `again` (possibly fractional) passes over all events so far."""

    first: Annotated[int, Meta(ge=1, le=1_000)] = 12
    fresh: Annotated[int, Meta(ge=0, le=100)] = 1
    again: Annotated[float, Meta(ge=0, le=100)] = 2.0


@dataclass(frozen=True, eq=False)
class Lesson:
    """How one part of a network is trained: along a stream at this `pace`, or on a whole data set in `epochs`."""

    part: Network
    recipe: Recipe
    pace: Pace
    epochs: int


@dataclass
class Readings:
    """A model's vectors along one order of n events.

    `contexts` float16 [n, D]: the context vector just before each asked event. `version` int16 [n]: the index into
    `vectors`, each float32 [items, D], of the model that made it, -1 if not asked. `known` bool [items], by version:
    the items seen in training. `tokens`: the mean number of tokens of a context.
    """

    contexts: NDArray[np.float16]
    version: NDArray[np.int16]
    vectors: list[Floats] = field(default_factory=list)
    known: list[Bools] = field(default_factory=list)
    read: int = 0
    places: int = 0

    @classmethod
    def of(cls, count: int, width: int) -> "Readings":
        return cls(np.zeros((count, width), np.float16), np.full(count, -1, np.int16))

    @property
    def tokens(self) -> float:
        return self.read / self.places if self.places else 0.0

    def scores(self, event_index: int) -> Floats | None:
        """The logit of every item just before that event, float32 [items]; None if the model was not asked."""
        version = int(self.version[event_index])
        if version < 0:
            return None
        return np.asarray(self.vectors[version] @ self.contexts[event_index].astype(np.float32), np.float32)

    def unseen(self, event_index: int) -> Bools:
        """The items unseen in training by the model of that time, bool [items]; all if it was not asked."""
        version = int(self.version[event_index])
        return ~self.known[version] if version >= 0 else np.ones_like(self.known[0])


def walk(
    network: Network,
    lessons: Sequence[Lesson],
    streams: Sequence[Histories],
    cuts: Sequence[int],
    *,
    seed: int = 0,
    label: str = "model",
    progress: Progress = silent,
) -> list[Readings]:
    """Train `network` in its `lessons` at each of `cuts` (ascending indices into the stream), and read the contexts up
    to the next cut.

    Returns the readings of each stream, in order. Each cut is moved back to where time advances in all of `streams`.
    """
    first = streams[0]
    taught = [(lesson, Trainer(lesson.part, first, lesson.recipe, seed)) for lesson in lessons]
    moved = sorted({min(stream.before(cut) for stream in streams) for cut in cuts})
    found = [Readings.of(len(stream), width(network, len(first.items))) for stream in streams]
    for at, cut in enumerate(moved):
        end = moved[at + 1] if at + 1 < len(moved) else len(first)
        where = f"{label}: training {at + 1} of {len(moved)}"
        for lesson, trainer in taught:
            if at == 0:
                fit(trainer, cut, lesson.recipe, lesson.pace.first, where, progress)
            else:
                go_on(trainer, cut, moved[at - 1], lesson, where, progress)
        for stream, one in zip(streams, found, strict=True):
            wanted = np.zeros(len(stream), np.bool_)
            wanted[cut:end] = stream.item[cut:end] != NO_ITEM
            with averaged(trainer for _, trainer in taught):
                read(network, first.met(cut), stream, wanted, one)
    return found


def hold_out(
    network: Network,
    lessons: Sequence[Lesson],
    learned: Histories,
    streams: Sequence[Histories],
    tests: Sequence[Ints],
    *,
    seed: int = 0,
    label: str = "model",
    progress: Progress = silent,
) -> list[Readings]:
    """Train `network` in its `lessons` on `learned`, which has no test of any stream, and read the context before each
    test.

    `tests` are indices into each stream.
    """
    trainers = []
    for lesson in lessons:
        trainers.append(Trainer(lesson.part, learned, lesson.recipe, seed))
        fit(trainers[-1], len(learned), lesson.recipe, lesson.epochs, f"{label}: training", progress)
    known = learned.met(len(learned))
    found = []
    for stream, asked in zip(streams, tests, strict=True):
        wanted = np.zeros(len(stream), np.bool_)
        wanted[asked] = True
        one = Readings.of(len(stream), width(network, len(stream.items)))
        with averaged(trainers):
            read(network, known, stream, wanted, one)
        found.append(one)
    return found


@contextmanager
def averaged(trainers: Iterable[Trainer]) -> Iterator[None]:
    """Within the block, every trainer's part has the running means of its weights."""
    with ExitStack() as stack:
        for trainer in trainers:
            stack.enter_context(trainer.averaged())
        yield


def fit(  # noqa: PLR0917
    trainer: Trainer, cut: int, recipe: Recipe, epochs: int, label: str, progress: Progress
) -> float:
    """A first training: `epochs` passes over the first `cut` events. Returns the mean loss of the last."""
    loss = 0.0
    for epoch in range(epochs):
        loss = trainer.learn(
            cut, rate=falling(recipe, epoch, epochs), report=epoch_report(progress, label, epochs, epoch)
        )
    return loss


def go_on(  # noqa: PLR0917
    trainer: Trainer, cut: int, since: int, lesson: Lesson, label: str, progress: Progress
) -> None:
    """A later training on the first `cut` events, of which those before `since` were learned already."""
    rate, report = lesson.recipe.later_rate, epoch_report(progress, label, 1, 0)
    for _ in range(lesson.pace.fresh):
        trainer.learn(cut, since=since, rate=lambda done: rate, report=report)
    left = lesson.pace.again
    while left > 0:
        trainer.learn(cut, share=min(1.0, left), rate=lambda done: rate, report=report)
        left -= 1.0


@torch.inference_mode()
def read(network: Network, known: Bools, stream: Histories, wanted: Bools, into: Readings) -> None:
    """Read the context before each wanted event with the network, and add the results to `into` as a new version."""
    network.module.eval()
    into.version[wanted] = len(into.vectors)
    vectors = network.vectors(torch.from_numpy(known).to(network.device)).float().cpu().numpy()
    into.vectors.append(vectors.copy())  # without a copy they could share memory with the weights
    into.known.append(known)
    asked = sorted(readings(stream, wanted), key=lambda one: len(one.places))
    for start in range(0, len(asked), READ_AT_ONCE):
        some = asked[start : start + READ_AT_ONCE]
        before = (one.to(network.device) for one in _before(stream, some))
        contexts = network.contexts(*before).float().cpu().numpy()
        for row, one in enumerate(some):
            places = one.places[one.skip :]
            at = np.flatnonzero(wanted[places])
            into.contexts[places[at]] = contexts[row, one.skip + at]
            into.read += int((one.skip + at).sum())
            into.places += len(at)


def _before(stream: Histories, some: Sequence[Reading]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Items, feeling rows and gaps of all events but the last of each reading, int64 [B, L]."""
    longest = max(len(one.places) for one in some) - 1
    found = np.zeros((3, len(some), longest), np.int64)
    for row, one in enumerate(some):
        places = one.places[:-1]
        found[:, row, : len(places)] = stream.item[places], feeling_rows(stream.feeling[places]), stream.gaps(places)
    items, feelings, gaps = map(torch.from_numpy, found)
    return items, feelings, gaps


@torch.inference_mode()
def width(network: Network, items: int) -> int:
    """The width of a context vector. Does not advance random states."""
    network.module.eval()
    return network.vectors(torch.zeros(items, dtype=torch.bool, device=network.device)).shape[1]


def epoch_report(progress: Progress, label: str, epochs: int, epoch: int) -> Callable[[int, int, float], None]:
    """A callback that reports batches of one epoch as progress over all epochs."""

    def report(done: int, total: int, loss: float) -> None:
        progress(f"{label}, loss {loss:.3f}", epoch * total + done, epochs * total)

    return report
