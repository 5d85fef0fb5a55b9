"""The model's vectors of items, one per item, all of one model version. Pure.

The model plane computes the vectors, at the request of `streams.serving.item_vectors`; the dot product of a context's
vector with an item's is the model's affinity of the two. Memory: 4 x width + 9 bytes per item number, up to twice that
since the arrays grow by doubling: 2.3 KiB per item at a width of 577. A catalogue has at most two sets, the second
while two versions are compared, or until the one before is retired (`streams.serving.live_versions`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.scoring import ItemVectors
from streams.items.reading_order import ReadingOrder

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Affinities(NamedTuple):
    """A model's affinity of one context with every item: `scores`, float32 [n] by item number, 0 for items without a
    vector; `known`, bool [n], says which items have one. `vectors` are those that it was computed with, if any."""

    scores: Floats
    known: Bools
    vectors: "Vectors | None" = None

    def of(self, numbers: Ints) -> Floats:
        """The scores of some items, NaN for items without a vector."""
        return np.where(self.known[numbers], self.scores[numbers], np.float32(np.nan))


class Vectors:
    """The vectors of the catalogue's items by number, and the queue of items without one.

    `version` is their model version, empty before the first; `width` is their length, 0 if the model has no vectors,
    in which case no item waits.
    """

    def __init__(self) -> None:
        self.version = ""
        self.width = 0
        self._values = np.zeros((64, 0), np.float32)
        self._known = np.zeros(64, np.bool_)
        self._texts = np.zeros(64, np.int64)  # the version of the item's text; 0 for none
        self._last_text = 0
        self._order = ReadingOrder()
        self._doubted = False

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Self:
        """A set without vectors, in which these items wait in this order. One pass over them."""
        made = cls()
        if numbers:
            made._reserve(max(numbers))
            made._texts[np.array(numbers)] = np.arange(1, len(numbers) + 1)
            made._last_text = len(numbers)
            made._order.restart(numbers)
        return made

    def want(self, number: int) -> None:
        """Queue a new or changed item. It has no vector until it is described."""
        self.drop(number)
        self._last_text += 1
        self._texts[number] = self._last_text
        self._order.add(number)

    def drop(self, number: int) -> None:
        """Remove a withdrawn item."""
        self._reserve(number)
        self._order.discard(number)
        self._texts[number] = 0
        self._known[number] = False
        self._values[number] = 0.0

    def doubt(self, version: str) -> None:
        """Note the version of a model's answer. If it differs from that of the vectors, the next description decides,
        since during a rollout answers of both versions may arrive."""
        self._doubted = self._doubted or version != self.version

    @property
    def waiting(self) -> int:
        """The number of items waiting for a vector."""
        return 0 if self.version and not self.width else len(self._order)

    def lacked(self, numbers: Iterable[int]) -> None:
        """Prioritise the items without a vector among those of a user's list, most needed first."""
        if self.waiting:
            self._order.want(numbers)

    def rank(self, popularity: NDArray[np.float64]) -> None:
        """Rank the waiting items by current popularity, float64 by item number. Scans every item."""
        if self.waiting:
            self._order.rank(popularity, np.flatnonzero((self._texts > 0) & ~self._known))

    def ranked(self) -> bool:
        """Whether an item of the last ranking still waits."""
        return self._order.ranked()

    def next(self, count: int) -> dict[int, int]:
        """At most `count` items to describe next, each with its text version for `put`, most needed first
        (`streams.items.reading_order`).

        If none waits but the model version is in doubt, returns an item that was described before.
        """
        numbers = self._order.first(count) if self.waiting else []
        if not numbers and self._doubted:
            numbers = np.flatnonzero(self._texts)[:1].tolist()
        return {number: int(self._texts[number]) for number in numbers}

    def put(self, asked: Mapping[int, int], vectors: ItemVectors) -> None:
        """Store the vectors of items from `next`, one per row. Items that have changed since keep waiting.

        Vectors of another version or width replace all vectors: all other items wait again.
        """
        self._doubted = False
        if (vectors.model_version, vectors.width) != (self.version, self.width):
            self._begin(vectors.model_version, vectors.width)
        numbers = np.array(list(asked), np.int64)
        rows = np.frombuffer(vectors.values, "<f4").reshape(len(numbers), vectors.width)
        same = self._texts[numbers] == np.array(list(asked.values()), np.int64)
        self._values[numbers[same]] = rows[same]
        self._known[numbers[same]] = vectors.width > 0
        for number in numbers[same].tolist():
            self._order.discard(number)

    def postpone(self, asked: Mapping[int, int]) -> None:
        """Move items that could not be described behind the others."""
        self._order.postpone(asked)

    def affinity(self, vector: tuple[float, ...], version: str, count: int) -> Affinities | None:
        """The affinity of a context with the first `count` items. None without a context vector, with one of another
        version, or if no item has a vector yet."""
        if not vector or version != self.version or len(vector) != self.width:
            return None
        self._reserve(count - 1)
        known = self._known[:count]
        if not known.any():
            return None
        return Affinities(self._values[:count] @ np.array(vector, np.float32), known.copy(), self)

    def nearest(self, number: int, others: Ints) -> int | None:
        """The item of `others` with the largest cosine similarity to this item; None if none is positive."""
        others = others[(others >= 0) & (others < len(self._known))]
        others = others[self._known[others]]
        if number >= len(self._known) or not self._known[number] or not len(others):
            return None
        rows = self._values[others]
        length = np.linalg.norm(rows, axis=1)
        cosines = (rows @ self._values[number]) / np.where(length > 0, length, 1.0)
        best = int(np.argmax(cosines))
        return int(others[best]) if cosines[best] > 0 else None

    def _begin(self, version: str, width: int) -> None:
        self.version, self.width = version, width
        self._values = np.zeros((len(self._known), width), np.float32)
        self._known[:] = False
        self._order.restart(np.flatnonzero(self._texts).tolist())

    def _reserve(self, number: int) -> None:
        missing = number + 1 - len(self._known)
        if missing > 0:
            more = max(missing, len(self._known))
            self._values = np.concatenate((self._values, np.zeros((more, self.width), np.float32)))
            self._known = np.concatenate((self._known, np.zeros(more, np.bool_)))
            self._texts = np.concatenate((self._texts, np.zeros(more, np.int64)))
