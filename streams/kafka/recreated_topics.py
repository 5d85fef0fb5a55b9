"""Detects whether `ouzel.events` was recreated since a partition's state was folded from it. Pure.

State is stamped with offsets of the topic. A recreated topic counts from 0, so its events would look like repeats.
Therefore the state stores the topic's id, and each start compares it. If a recreated topic is to be read all the same,
its offsets continue after the highest stamp: `base` is added to each offset on the way in, and subtracted on the way
out.
"""

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas.topics import CONTEXTS, COVISITS, EVENTS, NEIGHBOURS
from streams.errors import TopicRecreated
from streams.unreadable import Unreadable


class EventsTopic(msgspec.Struct, frozen=True, array_like=True):
    """The topic that a state was folded from: its id (empty: the broker has none), and the base of its offsets."""

    id: bytes = b""
    base: int = 0


class Range(NamedTuple):
    """The offsets that the broker holds of a partition: the first, and the one after the last."""

    first: int
    end: int


def followed(
    held: EventsTopic | None, now: bytes, *, partition: int, high: int, end: int, rewound: bool, take: bool
) -> EventsTopic:
    """The topic that a state follows from now on.

    `held` is the topic in the state, `now` the topic's current id, `high` the highest stamp (-1: none) and `end` the
    offset after the last record. `rewound` says that the topic ends before an offset that was already read. Raises
    `TopicRecreated` if the state belongs to another topic, unless `take` allows reading the new one.
    """
    base = 0 if held is None else held.base
    known = held is not None and held.id and now
    same = held.id == now if held is not None and known else high < 0 or end + base > high
    if same and not (rewound and high >= 0):
        return EventsTopic(now or (b"" if held is None else held.id), base)
    if take:
        return EventsTopic(now, high + 1)
    raise TopicRecreated(
        f"Partition {partition} of {EVENTS.name} is not served: the topic was recreated or has lost records. It ends "
        f"at offset {end}, and the state is of an older topic, up to offset {max(high - base, 0)}. To keep the "
        "state and read the topic from its beginning, set OUZEL_RECREATED_EVENTS=continue and restart the worker. To "
        f"start afresh, delete and create {CONTEXTS.name}, {COVISITS.name} and {NEIGHBOURS.name} too."
    )


def start_at(committed: int | None, at_least: int, high: int, first: int) -> tuple[int, int]:
    """The offset to continue from, and how many records before it were deleted unread.

    `committed` is the group's offset, `at_least` the offset that this worker has certainly finished (-1: none), `high`
    the highest stamp (-1: none), `first` the first offset that the broker still holds. Folded records do not count as
    lost, though they may be read again to make the list that they call for.
    """
    known = max(-1 if committed is None else committed, at_least)
    if known < 0 and high < 0:
        return first, 0
    return max(known, first), max(0, first - max(known, high + 1))


class Inner(Protocol):
    """A source of a topic's records, with the topic's real offsets."""

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]: ...
    async def committed(self, partition: int) -> int | None: ...
    async def available(self, partition: int) -> Range: ...
    async def seek(self, partition: int, offset: int) -> None: ...
    def end_offset(self, partition: int) -> int | None: ...
    def past(self, partition: int) -> int: ...
    async def behind(self, partition: int, at_least: int) -> int: ...


class Moved:
    """A record at another offset."""

    __slots__ = ("_record", "offset")

    def __init__(self, record: Any, base: int) -> None:
        self._record = record
        self.offset = record.offset + base

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)


def moved(record: Any, base: int) -> Any:
    """The record, or an `Unreadable`, with its offsets increased by `base`."""
    if isinstance(record, Unreadable):
        return replace(record, first=record.first + base, offset=record.offset + base)
    return Moved(record, base)


class Rebased:
    """A source whose offsets are those of `inner` plus `base`."""

    def __init__(self, inner: Inner, base: int) -> None:
        self._inner = inner
        self._base = base

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        return [moved(each, self._base) for each in await self._inner.fetch(partition, max_records, timeout)]

    async def committed(self, partition: int) -> int | None:
        found = await self._inner.committed(partition)
        return None if found is None else found + self._base

    async def available(self, partition: int) -> Range:
        first, end = await self._inner.available(partition)
        return Range(first + self._base, end + self._base)

    async def seek(self, partition: int, offset: int) -> None:
        await self._inner.seek(partition, max(0, offset - self._base))

    def end_offset(self, partition: int) -> int | None:
        end = self._inner.end_offset(partition)
        return None if end is None else end + self._base

    def past(self, partition: int) -> int:
        past = self._inner.past(partition)
        return past if past < 0 else past + self._base

    async def behind(self, partition: int, at_least: int) -> int:
        return await self._inner.behind(partition, at_least if at_least < 0 else max(0, at_least - self._base))
