"""The numbers of items. Pure.

Items of the catalogue are numbered from 0, so that arrays by number are as long as the catalogue. Ids that occur only
in events ("unknown" ids) have negative numbers and a separate limit: they never keep an item out of the catalogue, and
lists never look at them. Their array positions are reused, but their numbers are not: the number of an evicted id never
refers to another id.
"""

from collections.abc import Callable

from streams.errors import IndexFull

MAX_ITEMS = 1_000_000
"""Maximum numbered items of the catalogue, including withdrawn ones. About 2.3 GiB if all are used."""

MAX_UNKNOWN = 100_000
"""Default maximum of unknown ids (OUZEL_UNKNOWN_ITEMS)."""


def _nothing(before: int, after: int) -> None:
    pass


class ItemIndex:
    """Item ids and their numbers: at most `limit` items of the catalogue and `unknown_limit` unknown ids.

    `moved(before, after)` is called when an unknown id becomes an item of the catalogue.
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
        """The number of items that the catalogue has ever had; they are numbered from 0."""
        return len(self._ids)

    def __getitem__(self, number: int) -> str:
        """The id of a number. Raises KeyError for an evicted unknown id."""
        return self._ids[number] if number >= 0 else self._unknown[number]

    def __contains__(self, number: int) -> bool:
        """Whether a number refers to an id."""
        return number in self._unknown or 0 <= number < len(self._ids)

    @property
    def unknown(self) -> dict[int, str]:
        """The unknown ids by number, oldest first."""
        return self._unknown

    @property
    def room(self) -> bool:
        """Whether there is room for another unknown id."""
        return len(self._unknown) < self.unknown_limit

    def find(self, item: str) -> int | None:
        return self._numbers.get(item)

    def place(self, number: int) -> int:
        """The position of a number in arrays that hold unknown ids at their end."""
        return number if number >= 0 else ~(~number % self.unknown_limit)

    def number(self, item: str) -> int:
        """The number of an id in an event, assigned if needed. Raises `IndexFull` if there is no room."""
        number = self._numbers.get(item)
        if number is None:
            if not self.room:
                raise IndexFull(f"{self.unknown_limit:,} ids that are not in the catalogue are numbered, the limit")
            if self._free:
                number = self._free.pop()
            else:
                number, self._given = ~self._given, self._given + 1
            self._numbers[item] = number
            self._unknown[number] = item
        return number

    def claim(self, item: str) -> int:
        """The number of an item of the catalogue, assigned if needed. Raises `IndexFull` if none is left."""
        before = self._numbers.get(item)
        if before is not None and before >= 0:
            return before
        if len(self._ids) >= self._limit:
            raise IndexFull(f"{self._limit:,} items are numbered, the limit: restart the worker to drop withdrawn ones")
        number = self._numbers[item] = len(self._ids)
        self._ids.append(item)
        if before is not None:
            self._release(before)
            self.moved(before, number)
        return number

    def drop(self, number: int) -> None:
        """Drop an unknown id and free its position."""
        del self._numbers[self._unknown[number]]
        self._release(number)

    def _release(self, number: int) -> None:
        del self._unknown[number]
        self._free.append(number - self.unknown_limit)
