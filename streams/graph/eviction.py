"""Eviction of unknown ids: at the limit, the least counted one is evicted. Pure."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from streams.graph.counts import Counts
from streams.items.index import ItemIndex

Ints = NDArray[np.int64]

SHARE = 64
"""Evictions are found in batches of one in this many ids, since each search scans all ids: a few milliseconds for
100,000."""


class LeastCounted:
    """Unknown ids, least counted first: by events decayed with `half_life_ms` to a common time, so that of two with the
    same events the one met longer ago goes first. Ids that only occurred as neighbours have no events."""

    def __init__(self, index: ItemIndex, counts: Counts, half_life_ms: int) -> None:
        self._index = index
        self._counts = counts
        self._half_life_ms = half_life_ms
        self._queue: deque[tuple[int, float]] = deque()

    def next(self) -> int:
        """The number of the id to evict next. There must be one; the caller drops it."""
        while True:
            while self._queue:
                number, worth = self._queue.popleft()
                if number in self._index.unknown and self._worth(np.array([number]))[0] <= worth:
                    return number
            self._fill()

    def _fill(self) -> None:
        numbers = np.fromiter(self._index.unknown, np.int64, len(self._index.unknown))
        worth = self._worth(numbers)
        most = min(len(numbers), len(numbers) // SHARE + 1)
        if most < len(numbers):
            least = np.sort(np.argpartition(worth, most)[:most])
            numbers, worth = numbers[least], worth[least]
        order = np.argsort(worth, kind="stable")
        self._queue.extend(zip(numbers[order].tolist(), worth[order].tolist(), strict=True))

    def _worth(self, numbers: Ints) -> NDArray[np.float64]:
        return self._counts.worth(self._counts.places(numbers), self._half_life_ms)
