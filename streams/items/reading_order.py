"""The order in which items without a vector are read: missing in lists, then popular, then the rest. Pure.

Memory: about 200 bytes per waiting item, and `WANTED` and `POPULAR` numbers.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

WANTED = 512
"""Maximum prioritised items that lists lacked: the oldest are evicted and wait like the others."""

POPULAR = 1_024
"""Maximum items of one popularity ranking."""


class ReadingOrder:
    """The queue of items to read, by number.

    `rank` and `restart` scan every waiting item; all other calls scan only their arguments and at most `POPULAR` more.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, None] = OrderedDict()
        self._wanted: dict[int, None] = {}
        self._popular: deque[int] = deque()
        self._postponed: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int) -> None:
        """Append an item to the queue."""
        self.discard(number)
        self._waiting[number] = None

    def discard(self, number: int) -> None:
        """Remove an item from the queue."""
        self._waiting.pop(number, None)
        self._wanted.pop(number, None)
        self._postponed.discard(number)

    def restart(self, numbers: Iterable[int]) -> None:
        """Replace the queue by these items, in this order."""
        self._waiting = OrderedDict.fromkeys(numbers)
        self._wanted.clear()
        self._popular.clear()
        self._postponed.clear()

    def want(self, numbers: Iterable[int]) -> None:
        """Prioritise the items that a list lacked, most needed first, ahead of those of earlier lists."""
        missing = [number for number in numbers if number in self._waiting and number not in self._postponed]
        for number in reversed(missing):
            self._wanted.pop(number, None)
            self._wanted[number] = None
        while len(self._wanted) > WANTED:
            del self._wanted[next(iter(self._wanted))]

    def postpone(self, numbers: Iterable[int]) -> None:
        """Move items that could not be read behind all others, regardless of popularity and lists."""
        for number in numbers:
            if number in self._waiting:
                self._waiting.move_to_end(number)
                self._wanted.pop(number, None)
                self._postponed.add(number)

    def rank(self, popularity: NDArray[np.float64], waiting: Ints) -> None:
        """Rank the `waiting` numbers by current popularity [by number]; 0 is unknown. About 20 ms for a million."""
        known = waiting[waiting < len(popularity)]
        known = known[popularity[known] > 0]
        if len(known) > POPULAR:
            known = known[np.argpartition(-popularity[known], POPULAR - 1)[:POPULAR]]
        self._popular = deque(known[np.argsort(-popularity[known], kind="stable")].tolist())

    def ranked(self) -> bool:
        """Whether an item of the last ranking still waits."""
        popular = self._popular
        while popular and not self._is_due(popular[0]):
            popular.popleft()
        return bool(popular)

    def first(self, count: int) -> list[int]:
        """At most `count` distinct items to read next. They stay in the queue until discarded."""
        popular = filter(self._is_due, self._popular)
        return list(islice(_distinct(chain(reversed(self._wanted), popular, self._waiting)), count))

    def _is_due(self, number: int) -> bool:
        return number in self._waiting and number not in self._postponed


def _distinct(numbers: Iterable[int]) -> Iterator[int]:
    seen: set[int] = set()
    for number in numbers:
        if number not in seen:
            seen.add(number)
            yield number
