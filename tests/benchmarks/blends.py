"""The blend beside a linear one on the same lists: `python -m tests.benchmarks.blends [--events FILE] [--limit N]
[--partitions 4,16]`.

Both learn along the stream from the same candidates and signals, without a model. The linear one has no slopes and
learns the order of all candidates. Prints HR@10 and NDCG@10 of the lists before every like from the 1,000th event on,
by amount of data, with the paired difference and its 95% interval over users. Every like counts, not a quarter of them
as in `ouzel evaluate`.

`--partitions 4,16` instead spreads the users over this many partitions, and compares a single blend that learns from
all likes at once, blends that partitions learn apart, and one that they learn together, from parts published every
`--every` lists.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from deploy.datasets.dataset import Dataset, films, from_files, likes
from deploy.evaluation.live_ranking import LEARN_FROM, Core
from inference.evaluation.intervals import interval
from schemas.events import Event
from streams.candidates.registry import BUILT_IN_COLUMNS
from streams.fold.context import EMPTY, digest
from streams.ranking.blend import MOST, RATE, Blend, Remembered, learn
from streams.ranking.parts import Learned, combined, foreseen, nothing, stepped
from streams.ranking.ranker import Ranker
from streams.ranking.shortlist import Shortlist

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]

PARTS = ((0, 2_000), (0, 5_000), (0, 10_000), (0, 20_000), (20_000, 60_000), (60_000, None), (0, None))
"""Where figures are printed: from which event to which. The form of the blend was chosen on the fifth."""

TOP = 10
NOWHERE = 10**6

FEWEST = 50
"""Parts with fewer likes are left out."""


def linear(blend: Blend, chosen: Shortlist, at: int) -> Blend:
    """The linear blend after a like of the candidate at `at`: AdaGrad on the softmax loss over all candidates."""
    signals = chosen.signals.astype(np.float16).astype(np.float64)
    scores = signals @ np.array(blend.weights)
    chance = np.exp(scores - scores.max())
    chance /= chance.sum()
    chance[at] -= 1.0
    gradient = chance @ signals
    squares = np.array(blend.squares) + gradient**2
    weights = np.clip(np.array(blend.weights) - RATE * gradient / np.sqrt(squares), -MOST, MOST)
    return replace(blend, weights=tuple(weights.tolist()), squares=tuple(squares.tolist()))


def places(dataset: Dataset, stream: Sequence[Event]) -> Iterator[tuple[int, str, int, int]]:
    """For each like: the number of the event, its user, and its item's place (from 0) on the list of the linear blend
    and on that of the blend; `NOWHERE` if it is not on the list."""
    core = Core(dataset.items)
    ranker = core.ranker
    plain = blend = ranker.fit(Blend())
    for number, event in enumerate(stream):
        if likes(event) and event.item is not None and number >= LEARN_FROM:
            prepared = ranker.prepare(core.contexts.get(event.user, EMPTY), event.scene, now_ms=event.ts)
            chosen = ranker.shortlist(prepared, blend)
            at = np.flatnonzero(chosen.marks == np.uint64(digest(event.item)))
            if len(at):
                before = place(ranker, ranker.reorder(chosen, plain), plain, int(at[0]))
                yield number, event.user, before, place(ranker, chosen, blend, int(at[0]))
                plain = linear(plain, chosen, int(at[0]))
                blend = learn(blend, ranker.remember(chosen), event.item)
            else:
                yield number, event.user, NOWHERE, NOWHERE
        core.learn(event, liked=False)  # the graph and the context; the blends have learned already


class Apart:
    """Partitions that learn by themselves."""

    def __init__(self, partitions: int) -> None:
        self._blends = [Blend()] * partitions

    def blend(self, at: int) -> Blend:
        return self._blends[at]

    def learn(self, at: int, list_: Remembered, taken: str) -> None:
        self._blends[at] = learn(self._blends[at], list_, taken)


class One(Apart):
    """One blend for all partitions, which hears of each like at once."""

    def __init__(self) -> None:
        super().__init__(1)

    def blend(self, at: int) -> Blend:
        return super().blend(0)

    def learn(self, at: int, list_: Remembered, taken: str) -> None:
        super().learn(0, list_, taken)


class Together:
    """Partitions of as many workers, which learn together; each publishes its part every `every` lists."""

    def __init__(self, partitions: int, every: int) -> None:
        self._own = [nothing(BUILT_IN_COLUMNS)] * partitions
        self._published = list(self._own)
        self._every = every

    def blend(self, at: int) -> Blend:
        return combined(self._parts(at), BUILT_IN_COLUMNS)

    def learn(self, at: int, list_: Remembered, taken: str) -> None:
        own, known = self._own[at], self._published[at]
        ahead = foreseen([(own, known)], len(self._own) - 1.0, BUILT_IN_COLUMNS)
        before = combined([*self._parts(at), ahead], BUILT_IN_COLUMNS)
        after = learn(before, list_, taken)
        if after is not before:
            own = self._own[at] = stepped(own, before, after)
        if own.lists >= known.lists + self._every:
            self._published[at] = own

    def _parts(self, at: int) -> list[Learned]:
        return [*self._published[:at], self._own[at], *self._published[at + 1 :]]


def spread(
    dataset: Dataset, stream: Sequence[Event], ways: Mapping[str, Apart | Together], partitions: int
) -> Iterator[tuple[int, str, dict[str, int]]]:
    """For each like: the number of the event, its user, and its item's place on the list of each way to learn. A user
    is in one of `partitions`."""
    core = Core(dataset.items)
    ranker, prior = core.ranker, core.ranker.fit(Blend())
    for number, event in enumerate(stream):
        if likes(event) and event.item is not None and number >= LEARN_FROM:
            prepared = ranker.prepare(core.contexts.get(event.user, EMPTY), event.scene, now_ms=event.ts)
            chosen = ranker.shortlist(prepared, prior)
            at = np.flatnonzero(chosen.marks == np.uint64(digest(event.item)))
            found = dict.fromkeys(ways, NOWHERE)
            if len(at):
                remembered, partition = ranker.remember(chosen), digest(event.user) % partitions
                for name, way in ways.items():
                    blend = way.blend(partition)
                    found[name] = place(ranker, ranker.reorder(chosen, blend), blend, int(at[0]))
                    way.learn(partition, remembered, event.item)
            yield number, event.user, found
        core.learn(event, liked=False)


def compared(dataset: Dataset, stream: Sequence[Event], partitions: int, every: int) -> Iterator[str]:
    """The lines of one number of partitions."""
    ways: dict[str, Apart | Together] = {
        "one": One(),
        "apart": Apart(partitions),
        "together": Together(partitions, every),
    }
    found = list(spread(dataset, stream, ways, partitions))
    for before, after in (("one", "apart"), ("one", "together"), ("apart", "together")):
        yield f"{partitions} partitions, published every {every} lists: {before} -> {after}"
        yield from table([(number, user, places[before], places[after]) for number, user, places in found])


def place(ranker: Ranker, chosen: Shortlist, blend: Blend, at: int) -> int:
    listed = ranker.arrange(chosen, blend, length=TOP).places.tolist()
    return listed.index(at) if at in listed else NOWHERE


def hits(places: Ints) -> Doubles:
    return (places < TOP).astype(np.float64)


def gains(places: Ints) -> Doubles:
    return np.where(places < TOP, 1.0 / np.log2(places + 2.0), 0.0)


def table(found: Sequence[tuple[int, str, int, int]]) -> Iterator[str]:
    """One line for each part of the stream and measure."""
    numbers = np.array([one[0] for one in found])
    people = np.unique([one[1] for one in found], return_inverse=True)[1]
    linear, blend = (np.array([one[column] for one in found]) for column in (2, 3))
    for begin, end in PARTS:
        part = (numbers >= begin) & (numbers < (numbers[-1] + 1 if end is None else end))
        if part.sum() < FEWEST or (end is not None and end > numbers[-1] + 1):
            continue
        for name, measure in (("HR@10", hits), ("NDCG@10", gains)):
            before, after = measure(linear[part]), measure(blend[part])
            gain = interval(after - before, people[part])
            bounds = gain.missing if gain.low is None else f"{gain.low:+.4f} to {gain.high:+.4f}"
            where = f"events {begin:,} to {'the end' if end is None else f'{end:,}'}"
            yield (
                f"{where:27} {part.sum():6,} likes  {name:8} {before.mean():.4f} -> {after.mean():.4f}  "
                f"{gain.mean:+.4f} ({bounds})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="The blend beside a linear one on the same lists.")
    parser.add_argument("--events", type=Path, help="a file of events instead of MovieLens-100K")
    parser.add_argument("--limit", type=int, help="use the first N events")
    parser.add_argument("--seed", type=int, default=0, help="tie seed")
    parser.add_argument("--partitions", default="", help="spread users over this many partitions: 4,16")
    parser.add_argument("--every", type=int, default=20, help="lists between two publications of a partition")
    chosen = parser.parse_args()
    dataset = films() if chosen.events is None else from_files(chosen.events)
    stream = dataset.stream(chosen.seed, chosen.limit)
    if not chosen.partitions:
        for line in table(list(places(dataset, stream))):
            print(line)
    for partitions in map(int, filter(None, chosen.partitions.split(","))):
        for line in compared(dataset, stream, partitions, chosen.every):
            print(line, flush=True)


if __name__ == "__main__":
    main()
