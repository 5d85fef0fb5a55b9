"""What the transport and the lanes need of each other."""

from collections.abc import Iterable
from typing import Any, Protocol

from streams.kafka.recreated_topics import Range


class Lanes(Protocol):
    """What the transport needs of the lanes of one topic."""

    topic: str

    def assign(self, partitions: Iterable[int], source: "Source") -> None:
        """These partitions are ours: start a lane for each. Returns at once."""

    async def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        """End the lanes of these partitions; the offsets to commit for them. Takes a bounded time."""

    def held(self) -> list[int]:
        """The partitions that have a lane."""

    def committable(self) -> dict[int, int]:
        """The next offset to read of each partition, where everything before it is durable."""


class Source(Protocol):
    """What a lane needs of the transport."""

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        """The next records of the partition: about `max_records` of them, more by less than one of its record batches.

        An empty list if none come in time, or if a rebalance has begun.
        """

    async def committed(self, partition: int) -> int | None:
        """The group's offset, if it has one."""

    async def available(self, partition: int) -> Range:
        """The offsets that the brokers hold now."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch from this offset on."""

    def end_offset(self, partition: int) -> int | None:
        """The end of the partition as of the last fetch, if known."""

    def past(self, partition: int) -> int:
        """The offset behind all that was fetched since the last `seek`, with markers and what was aborted;
        -1 if that is not known."""

    async def behind(self, partition: int, at_least: int) -> int:
        """Ask the broker how many offsets the partition has behind the committed one, or behind `at_least`."""
