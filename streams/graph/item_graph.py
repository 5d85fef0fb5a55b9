"""The item graph: which items users met before which, counted online, and read for one list.

Each event on an item x counts, under several kernels, the items that the same user met before it. The owner of x
publishes that row with its likes and trend (`Neighbours`), and every worker loads it. Reading needs both directions of
a pair, so a replica also keeps which items name each item (`_later`), from the same records.

Bounds: at most 2 x `neighbours` pairs in each direction an item, pruned to `neighbours` by cosine when full; a pair
takes about 100 bytes in each direction. Likes and pairs decay with event time (`half_life_ms`), an item's trend faster.

Events can name any number of ids. Ids missing from the catalogue are counted too, since an item may come after its
events; if there are more than the index holds, the least counted id is evicted with its counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from schemas.neighbours import MAX_TRENDS, Covisits, Earlier, Neighbours
from streams.fold.covisits import REACH
from streams.graph.counts import Counts
from streams.graph.eviction import LeastCounted
from streams.graph.pairs import KERNELS, LIKED, LIKED_TABLE, MET_TABLE, SIGNATURE, Row
from streams.items.index import ItemIndex

DAY_MS = 86_400_000

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DECAY_STEP = 0.05
"""Pairs decay in steps of this share. Each step updates every item of a row, so smaller steps cost more."""


@dataclass(frozen=True)
class Counting:
    """How the graph counts. `neighbours` bounds an item's pairs in each direction; half-lives are in event time.

    A pair's strength is weight / (shrink_power sqrt(n_x n_y) + shrink), a cosine that distrusts rare pairs; n is likes
    for kernels of likes, else events.
    """

    neighbours: int = 256
    half_life_ms: int = 365 * DAY_MS
    trend_half_life_ms: int = 14 * DAY_MS
    shrink_power: float = 0.8
    shrink: float = 12.0


@dataclass(frozen=True)
class Reach:
    """Pairs of some rows: `strength[m, k]` ties `other[m]` to `rows[of[m]]`, `after[m]` if met later; `of` ascends."""

    rows: Ints
    of: Ints
    other: Ints
    strength: Floats
    after: NDArray[np.bool_]

    def about(self, numbers: Ints) -> "Reach":
        """The pairs with these items only."""
        kept = np.isin(self.other, numbers)
        return Reach(self.rows, self.of[kept], self.other[kept], self.strength[kept], self.after[kept])


class ItemGraph:
    """Both roles in one: the owner of some items learns and publishes, a replica of all items loads and reads."""

    def __init__(self, index: ItemIndex, counting: Counting = Counting()) -> None:
        self.index = index
        self.counting = counting
        self.evicted: Callable[[str, dict[int, int]], None] = lambda *_: None
        """Called with each evicted id and the offsets up to which it was counted, by partition."""

        self._counts = Counts(index)
        self._least = LeastCounted(index, self._counts, counting.half_life_ms)
        self._earlier: dict[int, Row] = {}
        self._later: dict[int, Row] = {}
        self._counted: dict[int, dict[int, int]] = {}
        self._dirty: dict[int, None] = {}
        index.moved = self._move

    # The owner of an item

    def learn(self, told: Covisits) -> None:
        """Count one batch of an item; offsets that were already counted change nothing."""
        number = self._number(told.item)
        counts, place = self._counts, self.index.place(number)
        counted = self._counted.setdefault(number, {})
        for update in told.updates:
            if update.offset <= counted.get(told.partition, -1):
                continue
            counted[told.partition] = update.offset
            self._age(number, update.ts)
            counts.events[place] += 1.0
            if update.liked:
                counts.likes[place] += 1.0
                counts.trend(update.scene, 1.0)[place] += 1.0
            if update.earlier:
                self._pair(number, update.earlier)
            self._dirty[number] = None

    def take_dirty(self, limit: int | None = None, ours: Callable[[str], bool] | None = None) -> list[Neighbours]:
        """The records to publish, longest waiting first, at most `limit`; they then count as published.

        With `ours`, only those of items for which it is true; the others stay.
        """
        numbers = list(islice((each for each in self._dirty if ours is None or ours(self.index[each])), limit))
        for number in numbers:
            del self._dirty[number]
        return [self.record(number) for number in numbers]

    def not_published(self, records: Iterable[Neighbours]) -> None:
        """Mark these as not published."""
        for record in records:
            self.again(record.item)

    def again(self, item: str) -> None:
        """Publish the item's record again."""
        number = self.index.find(item)
        if number is not None and number in self._counted:
            self._dirty[number] = None

    def record(self, number: int) -> Neighbours:
        """Everything counted about an item."""
        row = self._earlier.get(number)
        others: tuple[str, ...] = ()
        weights = b""
        if row is not None:
            kept = self._strongest(number, row)
            kept = kept[[int(other) in self.index for other in row.others[kept]]]
            others = tuple(self.index[int(other)] for other in row.others[kept])
            weights = row.weights[kept].astype("<f4").tobytes()
        counts, place = self._counts, self.index.place(number)
        trend = {scene: float(of[place]) for scene, of in counts.trends.items() if of[place] > 1e-6}
        strongest = sorted(trend, key=lambda scene: -trend[scene])[:MAX_TRENDS]
        return Neighbours(
            item=self.index[number],
            ts=int(counts.ts[place]),
            likes=float(counts.likes[place]),
            seen=float(counts.events[place]),
            trend={scene: trend[scene] for scene in strongest},
            others=others,
            kernels=SIGNATURE if others else "",
            weights=weights,
            counted=dict(self._counted.get(number, {})),
        )

    # A replica

    def load(self, record: Neighbours) -> None:
        """Take over a published record, unless everything in it is counted here already.

        All owners of an item read the same log, so of two records one has counted all of the other. A record that has
        counted less than ours comes from an owner that had lost the item without knowing: ours is published again, if
        the item is ours or will be. Weights of other kernels are dropped and counted again from now on.
        """
        number = self._number(record.item)
        counted = self._counted.get(number)
        if counted and all(counted.get(partition, -1) >= offset for partition, offset in record.counted.items()):
            if counted == record.counted:
                self._dirty.pop(number, None)
            else:
                self._dirty[number] = None
            return
        self._counted[number] = dict(record.counted)
        self._dirty.pop(number, None)
        counts, place = self._counts, self.index.place(number)
        counts.likes[place], counts.events[place], counts.ts[place] = record.likes, record.seen, record.ts
        for scene in [*counts.trends, *(scene for scene in record.trend if scene not in counts.trends)]:
            likes = record.trend.get(scene, 0.0)
            counts.trend(scene, likes)[place] = likes
        if record.kernels != SIGNATURE or len(record.weights) != 4 * len(record.others) * len(KERNELS):
            return
        weights = np.frombuffer(record.weights, "<f4")
        before = self._earlier.pop(number, None)
        row = Row(record.ts)
        known = []
        for at, item in enumerate(record.others):
            other = self._beside(item)
            if other is not None:
                row.slot(other)
                known.append(at)
        row.weights[: row.used] = weights.reshape(-1, len(KERNELS))[known]
        self._earlier[number] = row
        self._mirror(row, number, before)

    def remove(self, item: str) -> None:
        """Drop all counts of an item, and its pairs with other items."""
        number = self.index.find(item)
        if number is not None:
            self._forget(number)
            if number < 0:
                self.index.drop(number)

    # What a list reads

    def likes(self) -> NDArray[np.float64]:
        """Likes by item number, float64 [len(index)]."""
        self._counts.reserve(len(self.index))
        return self._counts.likes[: len(self.index)]

    def events(self) -> NDArray[np.float64]:
        """Events of any kind by item number, float64 [len(index)]."""
        self._counts.reserve(len(self.index))
        return self._counts.events[: len(self.index)]

    def trend(self, scene: str, now_ms: int) -> NDArray[np.float64]:
        """Likes in a scene, decayed to `now_ms`, float64 [len(index)]."""
        count, counts = len(self.index), self._counts
        counts.reserve(count)
        if scene not in counts.trends:
            return np.zeros(count)
        age = np.maximum(now_ms - counts.ts[:count], 0) / self.counting.trend_half_life_ms
        return np.asarray(counts.trends[scene][:count] * np.exp2(-age))

    def reach(self, rows: Ints) -> Reach:
        """Every pair of these items with items of the catalogue, in both directions."""
        found: list[tuple[int, Row, bool]] = []
        for of, number in enumerate(rows.tolist()):
            for side, after in ((self._earlier, False), (self._later, True)):
                row = side.get(number)
                if row is not None and row.used:
                    found.append((of, row, after))
        if not found:
            none = np.zeros(0, np.int64)
            return Reach(rows, none, none, np.zeros((0, len(KERNELS)), np.float32), none.astype(np.bool_))
        sizes = [row.used for _, row, _ in found]
        of_row = np.repeat(np.array([of for of, _, _ in found]), sizes)
        after_row = np.repeat(np.array([after for _, _, after in found]), sizes)
        others = np.concatenate([row.others[: row.used] for _, row, _ in found])
        weights = np.concatenate([row.weights[: row.used] for _, row, _ in found])
        if others.min() < 0:
            ours = others >= 0
            of_row, after_row, others, weights = of_row[ours], after_row[ours], others[ours], weights[ours]
        return Reach(rows, of_row, others, self._strength(weights, rows[of_row], others), after_row)

    # Inside

    def _number(self, item: str) -> int:
        """The number of an item that is counted; if there is no room, another is evicted."""
        number = self.index.find(item)
        if number is None:
            if not self.index.room:
                self._evict(self._least.next())
            number = self.index.number(item)
        self._counts.reserve(self.index.place(number))
        return number

    def _beside(self, item: str) -> int | None:
        """The number of an item that occurs as a neighbour; None if there is no room. It evicts nothing: only an event
        on the item itself does."""
        return self._number(item) if self.index.room or self.index.find(item) is not None else None

    def _evict(self, number: int) -> None:
        item, counted = self.index[number], self._counted.get(number)
        self._forget(number)
        self.index.drop(number)
        if counted is not None:
            self.evicted(item, counted)

    def _forget(self, number: int) -> None:
        for side, opposite in ((self._earlier, self._later), (self._later, self._earlier)):
            for other in side.pop(number, Row()).slots:
                row = opposite.get(other)
                if row is not None:
                    row.drop(number)
                    if not row.used:
                        del opposite[other]
        self._counted.pop(number, None)
        self._dirty.pop(number, None)
        place = self.index.place(number)
        self._counts.reserve(place)
        self._counts.clear(place)

    def _move(self, before: int, after: int) -> None:
        """An id that so far only occurred in events is now an item of the catalogue."""
        for side, opposite in ((self._earlier, self._later), (self._later, self._earlier)):
            row = side.pop(before, None)
            if row is not None:
                side[after] = row
                for other in row.slots:
                    if other in opposite:
                        opposite[other].rename(before, after)
        if before in self._counted:
            self._counted[after] = self._counted.pop(before)
        if before in self._dirty:
            del self._dirty[before]
            self._dirty[after] = None
        places = self.index.place(before), self.index.place(after)
        for place in places:
            self._counts.reserve(place)
        self._counts.move(*places)

    def _age(self, number: int, ts: int) -> None:
        """Decay an item's counts to `ts`."""
        counts, place = self._counts, self.index.place(number)
        before = int(counts.ts[place])
        if ts <= before:
            return
        if before > 0:
            factor = 0.5 ** ((ts - before) / self.counting.half_life_ms)
            fading = 0.5 ** ((ts - before) / self.counting.trend_half_life_ms)
            counts.likes[place] *= factor
            counts.events[place] *= factor
            for of in counts.trends.values():
                of[place] *= fading
            self._age_pairs(number, ts)
        counts.ts[place] = ts

    def _age_pairs(self, number: int, ts: int) -> None:
        """Decay an item's pairs to `ts`, in steps of 5%: in between, a pair without new events stays the same, bit for
        bit, so a replica that loads the record has no work for it."""
        row = self._earlier.get(number)
        if row is None:
            return
        factor = 0.5 ** ((ts - row.ts) / self.counting.half_life_ms)
        if factor < 1 - DECAY_STEP:
            row.weights[: row.used] *= factor
            row.ts = ts
            self._mirror(row, number, None)

    def _pair(self, number: int, earlier: tuple[Earlier, ...]) -> None:
        known, others = [], []
        for one in earlier:
            other = self._beside(one.item)
            if other is not None:
                known.append(one)
                others.append(other)
        if not known:
            return
        row = self._earlier.get(number)
        if row is None:
            row = self._earlier[number] = Row(int(self._counts.ts[self.index.place(number)]))
        slots = [row.slot(other) for other in others]
        apart = np.minimum([one.apart for one in known], REACH)
        likes_apart = np.minimum([one.likes_apart for one in known], REACH)
        row.weights[slots] += MET_TABLE[apart] + LIKED_TABLE[likes_apart]
        for other, weight in zip(others, row.weights[slots], strict=True):
            self._put_later(other, number, weight)
        self._bound(number, row)

    def _put_later(self, number: int, later: int, weight: Floats) -> None:
        if number not in self.index:  # a pair of an evicted id, in a row that no longer contains it
            return
        row = self._later.get(number)
        if row is None:
            row = self._later[number] = Row()
        slot = row.slot(later)  # first, since it may replace the row's arrays
        row.weights[slot] = weight
        self._bound(number, row)

    def _mirror(self, row: Row, number: int, before: Row | None) -> None:
        """Update the items of a row about its pairs that differ from `before`."""
        others = row.others[: row.used].tolist()
        changed = np.ones(row.used, np.bool_)
        if before is not None:
            slots = np.array([before.slots.get(other, -1) for other in others], np.int64)
            changed = (slots < 0) | (before.weights[slots] != row.weights[: row.used]).any(axis=1)
        for at in np.flatnonzero(changed).tolist():
            self._put_later(others[at], number, row.weights[at])
        for other in () if before is None else before.slots.keys() - row.slots.keys():
            later = self._later.get(other)
            if later is not None and number in later.slots:
                later.weights[later.slots[number]] = 0.0

    def _bound(self, number: int, row: Row) -> None:
        if row.used > 2 * self.counting.neighbours:
            row.keep(self._strongest(number, row))

    def _strongest(self, number: int, row: Row) -> Ints:
        """The slots of the `neighbours` strongest pairs."""
        most = self.counting.neighbours
        if row.used <= most:
            return np.arange(row.used)
        others = row.others[: row.used]
        strength = self._strength(row.weights[: row.used], np.full(row.used, number), others).sum(axis=1)
        return np.asarray(np.argpartition(-strength, most)[:most])

    def _strength(self, weights: Floats, rows: Ints, others: Ints) -> Floats:
        counting = self.counting
        strength = np.empty(weights.shape, np.float32, order="F")  # read by kernel
        of_rows, of_others = self._counts.places(rows), self._counts.places(others)
        for counts, liked in ((self._counts.events, False), (self._counts.likes, True)):
            scale = _roots(counts, of_others)
            scale *= np.float32(counting.shrink_power) * _roots(counts, of_rows)
            scale += np.float32(counting.shrink)
            for kernel in np.flatnonzero(liked == LIKED):
                np.divide(weights[:, kernel], scale, out=strength[:, kernel])
        return strength


def _roots(counts: NDArray[np.float64], places: Ints) -> Floats:
    """The square roots of the counts at some places, float32 [len(places)]."""
    if len(places) > len(counts):  # less work, and the same numbers
        return np.sqrt(counts).astype(np.float32)[places]
    return np.sqrt(counts[places]).astype(np.float32)
