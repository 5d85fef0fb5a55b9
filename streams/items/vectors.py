"""What a model made of each item's text: one vector an item, all of one model version. Pure.

The model plane makes the vectors (`streams.serving.item_vectors` asks for them); the dot product of a context's vector
with an item's is the model's affinity of the two. Memory: 4 x width + 9 bytes for each item number, up to twice that
since the arrays grow by doubling: 2.3 KiB an item for a width of 577.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.scoring import ItemVectors
from streams.items.reading_order import ReadingOrder

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Affinities(NamedTuple):
    """A model's affinity of one context with every item: `scores`, float32 [n] by item number, 0 where the item is not
    `known` (bool [n]) to the model."""

    scores: Floats
    known: Bools

    def of(self, numbers: Ints) -> Floats:
        """The scores of some items, NaN where one is not known."""
        return np.where(self.known[numbers], self.scores[numbers], np.float32(np.nan))


class Vectors:
    """The vectors of the catalogue's items by number, and which items wait for one.

    `version` is the model version that they are of, empty before the first; `width` their length, 0 if that model has
    none, which leaves no item waiting.
    """

    def __init__(self) -> None:
        self.version = ""
        self.width = 0
        self._values = np.zeros((64, 0), np.float32)
        self._known = np.zeros(64, np.bool_)
        self._texts = np.zeros(64, np.int64)  # which text of the item this is; 0 for none
        self._last_text = 0
        self._order = ReadingOrder()
        self._doubted = False

    def want(self, number: int) -> None:
        """An item is new, or says something else than before: it has no vector until it is described."""
        self.drop(number)
        self._last_text += 1
        self._texts[number] = self._last_text
        self._order.add(number)

    def drop(self, number: int) -> None:
        """An item was withdrawn."""
        self._reserve(number)
        self._order.discard(number)
        self._texts[number] = 0
        self._known[number] = False
        self._values[number] = 0.0

    def doubt(self, version: str) -> None:
        """The model answered as this version. If that is not the vectors' own, the next description decides: while one
        version takes over from another, answers of both may come."""
        self._doubted = self._doubted or version != self.version

    @property
    def waiting(self) -> int:
        """How many items wait for a vector."""
        return 0 if self.version and not self.width else len(self._order)

    def lacked(self, numbers: Iterable[int]) -> None:
        """A list of somebody who waits is made of these items, most needed first: those without a vector go first."""
        if self.waiting:
            self._order.want(numbers)

    def rank(self, popularity: NDArray[np.float64]) -> None:
        """Rank what waits by its popularity now, float64 by item number. Looks at every item."""
        if self.waiting:
            self._order.rank(popularity, np.flatnonzero((self._texts > 0) & ~self._known))

    def ranked(self) -> bool:
        """Whether an item of the last ranking still waits."""
        return self._order.ranked()

    def next(self, count: int) -> dict[int, int]:
        """The items to describe now, at most `count`, each with the mark of its text for `put`, in the order in which
        they are needed (`streams.items.reading_order`).

        Where none waits but the version is in doubt, one that was described before.
        """
        numbers = self._order.first(count) if self.waiting else []
        if not numbers and self._doubted:
            numbers = np.flatnonzero(self._texts)[:1].tolist()
        return {number: int(self._texts[number]) for number in numbers}

    def put(self, asked: Mapping[int, int], vectors: ItemVectors) -> None:
        """Take in the vectors of the items that `next` gave, one a row. An item that has changed since goes on waiting.

        Vectors of another version, or of another width, begin anew: all other items wait.
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
        """These items could not be described: they wait behind the others."""
        self._order.postpone(asked)

    def affinity(self, vector: tuple[float, ...], version: str, count: int) -> Affinities | None:
        """The affinity of a context with the items of the first `count` numbers; None where nothing tells it: no
        vector, one of another version, or no item described yet."""
        if not vector or version != self.version or len(vector) != self.width:
            return None
        self._reserve(count - 1)
        known = self._known[:count]
        if not known.any():
            return None
        return Affinities(self._values[:count] @ np.array(vector, np.float32), known.copy())

    def nearest(self, number: int, others: Ints) -> int | None:
        """The one of `others` whose vector points most nearly where this item's does; None if none points that way."""
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
