"""The numbers of items. Pure.

The catalogue's items are numbered from 0, so that whatever is kept by number stands in arrays as long as the catalogue.
Ids that only events name have numbers below 0 and a limit of their own: however many there are, no item of the
catalogue is refused for them, and no list looks at them. Their places are used again, their numbers are not: a number
that somebody still holds of an id that is gone stands for nothing, never for another id.
"""

from collections.abc import Callable

from streams.errors import IndexFull

MAX_ITEMS = 1_000_000
"""Items of the catalogue that are numbered, withdrawn ones as well. About 2.3 GiB when all are used."""

MAX_UNKNOWN = 100_000
"""Ids that no catalogue knows, unless a worker is told otherwise."""


def _nothing(before: int, after: int) -> None:
    pass


class ItemIndex:
    """Item ids and their numbers: at most `limit` of the catalogue, at most `unknown_limit` that only events name.

    `moved(before, after)` is called when an id that only events named becomes an item of the catalogue.
    """

    def __init__(self, limit: int = MAX_ITEMS, unknown_limit: int = MAX_UNKNOWN) -> None:
        self.unknown_limit = unknown_limit
        self.moved: Callable[[int, int], None] = _nothing
        self._limit = limit
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []
        self._unknown: dict[int, str] = {}
        self._given = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many items the catalogue has had: their numbers are all those from 0 on."""
        return len(self._ids)

    def __getitem__(self, number: int) -> str:
        """The id of a number. KeyError if it is below 0 and gone."""
        return self._ids[number] if number >= 0 else self._unknown[number]

    def __contains__(self, number: int) -> bool:
        """Whether a number stands for an id."""
        return number in self._unknown or 0 <= number < len(self._ids)

    @property
    def unknown(self) -> dict[int, str]:
        """The ids that only events name, by number, oldest first."""
        return self._unknown

    @property
    def room(self) -> bool:
        """Whether one more id that only events name can have a number."""
        return len(self._unknown) < self.unknown_limit

    def find(self, item: str) -> int | None:
        return self._numbers.get(item)

    def place(self, number: int) -> int:
        """Where a number's part of an array is, for arrays that have those below 0 at their end."""
        return number if number >= 0 else ~(~number % self.unknown_limit)

    def number(self, item: str) -> int:
        """The number of an id that an event names; a new one if it has none. Raises `IndexFull` if there is no room."""
        number = self._numbers.get(item)
        if number is None:
            if not self.room:
                raise IndexFull(f"{self.unknown_limit:,} ids that no catalogue knows are numbered")
            if self._free:
                number = self._free.pop()
            else:
                number, self._given = ~self._given, self._given + 1
            self._numbers[item] = number
            self._unknown[number] = item
        return number

    def claim(self, item: str) -> int:
        """The number of an item of the catalogue. Raises `IndexFull` where there is none left."""
        before = self._numbers.get(item)
        if before is not None and before >= 0:
            return before
        if len(self._ids) >= self._limit:
            raise IndexFull(f"{self._limit:,} items are numbered: restart the worker to drop those that were withdrawn")
        number = self._numbers[item] = len(self._ids)
        self._ids.append(item)
        if before is not None:
            self._release(before)
            self.moved(before, number)
        return number

    def drop(self, number: int) -> None:
        """An id that only events name is gone. Its place is free."""
        del self._numbers[self._unknown[number]]
        self._release(number)

    def _release(self, number: int) -> None:
        del self._unknown[number]
        self._free.append(number - self.unknown_limit)
