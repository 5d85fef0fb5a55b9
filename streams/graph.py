"""The item graph: what people met before what, counted online, and read for one list.

Each event on an item x counts, under several kernels, the items that the same person met before it. That row of x, with
its likes and its trend, is what the owner of x publishes (`Neighbours`) and every worker loads. Reading needs both
directions of a pair, so a replica keeps for each item also who names it (`_later`), from the same records.

Bounds: at most 2 x `neighbours` pairs in each direction an item, pruned to `neighbours` by cosine when full; a pair
takes about 100 bytes in each direction. Likes and pairs decay with event time (`half_life_ms`), an item's trend faster.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from schemas.neighbours import MAX_TRENDS, Covisits, Earlier, Neighbours
from streams.catalogue import ItemIndex
from streams.covisits import REACH
from streams.pairs import KERNELS, LIKED, LIKED_TABLE, MET_TABLE, SIGNATURE, Row

DAY_MS = 86_400_000

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DECAY_STEP = 0.05
"""Pairs lose this share at a time. Each step tells every item of a row, so smaller ones cost more."""

MAX_SCENES = 64
"""Scenes with a trend of their own, at 8 bytes an item each; a like in a scene beyond them makes no trend."""


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
    """Every pair of some rows: `strength[m, k]` ties `other[m]` to `rows[of[m]]`; `after[m]` if it was met later.

    `of` never falls.
    """

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
        self._likes = np.zeros(64)
        self._events = np.zeros(64)
        self._ts = np.zeros(64, np.int64)
        self._trends: dict[str, NDArray[np.float64]] = {}
        self._earlier: dict[int, Row] = {}
        self._later: dict[int, Row] = {}
        self._counted: dict[int, dict[int, int]] = {}
        self._dirty: dict[int, None] = {}

    # The owner of an item

    def learn(self, told: Covisits) -> None:
        """Count what one batch says of an item. What was counted before changes nothing.

        Items beyond what the index numbers are not counted.
        """
        if not self.index.room(told.item):
            return
        number = self._number(told.item)
        counted = self._counted.setdefault(number, {})
        for update in told.updates:
            if update.offset <= counted.get(told.partition, -1):
                continue
            counted[told.partition] = update.offset
            self._age(number, update.ts)
            self._events[number] += 1.0
            if update.liked:
                self._likes[number] += 1.0
                self._trend(update.scene)[number] += 1.0
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
        """Take back that these were published."""
        self._dirty.update((self.index.number(record.item), None) for record in records)

    def record(self, number: int) -> Neighbours:
        """Everything counted about an item."""
        row = self._earlier.get(number)
        others: tuple[str, ...] = ()
        weights = b""
        if row is not None:
            kept = self._strongest(number, row)
            others = tuple(self.index[int(other)] for other in row.others[kept])
            weights = row.weights[kept].astype("<f4").tobytes()
        trend = {
            scene: float(of[number]) for scene, of in self._trends.items() if number < len(of) and of[number] > 1e-6
        }
        strongest = sorted(trend, key=lambda scene: -trend[scene])[:MAX_TRENDS]
        return Neighbours(
            item=self.index[number],
            ts=int(self._ts[number]),
            likes=float(self._likes[number]),
            seen=float(self._events[number]),
            trend={scene: trend[scene] for scene in strongest},
            others=others,
            kernels=SIGNATURE if others else "",
            weights=weights,
            counted=dict(self._counted.get(number, {})),
        )

    # A replica

    def load(self, record: Neighbours) -> None:
        """Take over a published record, unless everything in it is counted here already.

        Whoever counts an item reads the same log, so of two records one has counted all of the other and perhaps more.
        One that has counted less than we have was written by an owner who had lost the item without knowing: ours is to
        be published again, if the item is ours or will be. Weights under other kernels than ours are left out: they are
        counted anew from now on.
        """
        if not self.index.room(record.item):
            return
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
        self._likes[number], self._events[number], self._ts[number] = record.likes, record.seen, record.ts
        for scene in {*self._trends, *record.trend}:
            self._trend(scene)[number] = record.trend.get(scene, 0.0)
        if record.kernels != SIGNATURE or len(record.weights) != 4 * len(record.others) * len(KERNELS):
            return
        weights = np.frombuffer(record.weights, "<f4")
        before = self._earlier.pop(number, None)
        row = Row(record.ts)
        known = []
        for at, other in enumerate(record.others):
            if self.index.room(other):
                row.slot(self._number(other))
                known.append(at)
        row.weights[: row.used] = weights.reshape(-1, len(KERNELS))[known]
        self._earlier[number] = row
        self._mirror(row, number, before)

    def remove(self, item: str) -> None:
        """Forget what was counted about an item, and its part in others' pairs."""
        number = self.index.find(item)
        if number is None:
            return
        self._reserve(number)
        for side, opposite in ((self._earlier, self._later), (self._later, self._earlier)):
            for other in side.pop(number, Row()).slots:
                row = opposite.get(other)
                if row is not None and number in row.slots:
                    row.weights[row.slots[number]] = 0.0
        self._counted.pop(number, None)
        self._dirty.pop(number, None)
        self._likes[number] = self._events[number] = 0.0
        for of in self._trends.values():
            of[number] = 0.0

    # What a list reads

    def likes(self) -> NDArray[np.float64]:
        """Likes by item number, float64 [len(index)]."""
        self._reserve(len(self.index))
        return self._likes[: len(self.index)]

    def events(self) -> NDArray[np.float64]:
        """Events of any kind by item number, float64 [len(index)]."""
        self._reserve(len(self.index))
        return self._events[: len(self.index)]

    def trend(self, scene: str, now_ms: int) -> NDArray[np.float64]:
        """Likes in a scene, decayed to `now_ms`, float64 [len(index)]."""
        self._reserve(len(self.index))
        count = len(self.index)
        if scene not in self._trends:
            return np.zeros(count)
        age = np.maximum(now_ms - self._ts[:count], 0) / self.counting.trend_half_life_ms
        return np.asarray(self._trends[scene][:count] * np.exp2(-age))

    def reach(self, rows: Ints) -> Reach:
        """Every pair of these items, in both directions."""
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
        return Reach(rows, of_row, others, self._strength(weights, rows[of_row], others), after_row)

    # Inside

    def _number(self, item: str) -> int:
        number = self.index.number(item)
        self._reserve(number)
        return number

    def _reserve(self, number: int) -> None:
        missing = number + 1 - len(self._likes)
        if missing > 0:
            more = max(missing, len(self._likes))
            self._likes = np.concatenate((self._likes, np.zeros(more)))
            self._events = np.concatenate((self._events, np.zeros(more)))
            self._ts = np.concatenate((self._ts, np.zeros(more, np.int64)))
            self._trends = {scene: np.concatenate((of, np.zeros(more))) for scene, of in self._trends.items()}

    def _trend(self, scene: str) -> NDArray[np.float64]:
        """The trend of a scene to write to; a row that is thrown away for a scene beyond the bound."""
        of = self._trends.get(scene)
        if of is None:
            of = np.zeros(len(self._likes))
            if len(self._trends) < MAX_SCENES:
                self._trends[scene] = of
        return of

    def _age(self, number: int, ts: int) -> None:
        """Decay an item's counts to `ts`."""
        before = int(self._ts[number])
        if ts <= before:
            return
        if before > 0:
            factor = 0.5 ** ((ts - before) / self.counting.half_life_ms)
            fading = 0.5 ** ((ts - before) / self.counting.trend_half_life_ms)
            self._likes[number] *= factor
            self._events[number] *= factor
            for of in self._trends.values():
                of[number] *= fading
            self._age_pairs(number, ts)
        self._ts[number] = ts

    def _age_pairs(self, number: int, ts: int) -> None:
        """Decay an item's pairs to `ts`, in steps of 5%: in between, a pair that nobody adds to stays as it is, bit for
        bit, so that whoever loads the record has nothing to do for it."""
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
            if self.index.room(one.item):
                known.append(one)
                others.append(self._number(one.item))
        if not known:
            return
        row = self._earlier.get(number)
        if row is None:
            row = self._earlier[number] = Row(int(self._ts[number]))
        slots = [row.slot(other) for other in others]
        apart = np.minimum([one.apart for one in known], REACH)
        likes_apart = np.minimum([one.likes_apart for one in known], REACH)
        row.weights[slots] += MET_TABLE[apart] + LIKED_TABLE[likes_apart]
        for other, weight in zip(others, row.weights[slots], strict=True):
            self._put_later(other, number, weight)
        self._bound(number, row)

    def _put_later(self, number: int, later: int, weight: Floats) -> None:
        row = self._later.get(number)
        if row is None:
            row = self._later[number] = Row()
        slot = row.slot(later)  # first, since it may make the row's arrays anew
        row.weights[slot] = weight
        self._bound(number, row)

    def _mirror(self, row: Row, number: int, before: Row | None) -> None:
        """Tell the items of a row which of its pairs are not as `before`."""
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
        for counts, liked in ((self._events, False), (self._likes, True)):
            root = np.sqrt(counts[: len(self.index)]).astype(np.float32)
            scale = root[others]
            scale *= np.float32(counting.shrink_power) * root[rows]
            scale += np.float32(counting.shrink)
            for kernel in np.flatnonzero(liked == LIKED):
                np.divide(weights[:, kernel], scale, out=strength[:, kernel])
        return strength
