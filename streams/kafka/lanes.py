"""What the transport and the lanes need of each other."""

from collections.abc import Iterable
from typing import Any, Protocol

from streams.kafka.recreated_topics import Range


class Lanes(Protocol):
    """The lanes of one topic, as the transport uses them."""

    topic: str

    def assign(self, partitions: Iterable[int], source: "Source") -> None:
        """Start a lane for each of these partitions. Returns at once."""

    async def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        """End the lanes of these partitions and return the offsets to commit. Takes a bounded time."""

    def held(self) -> list[int]:
        """The partitions that have a lane."""

    def committable(self) -> dict[int, int]:
        """The next offset to read of each partition, with everything before it durable."""


class Source(Protocol):
    """A topic's records, as a lane reads them."""

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        """The next records of the partition: about `max_records`, exceeded by less than one record batch.

        Empty if none arrive within `timeout` seconds, or if a rebalance has begun.
        """

    async def committed(self, partition: int) -> int | None:
        """The group's committed offset, if there is one."""

    async def available(self, partition: int) -> Range:
        """The offsets that the brokers hold."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch from this offset on."""

    def end_offset(self, partition: int) -> int | None:
        """The end of the partition as of the last fetch, if known."""

    def past(self, partition: int) -> int:
        """The offset after everything fetched since the last `seek`, including markers and aborted records; -1 while
        unknown."""

    async def behind(self, partition: int, at_least: int) -> int:
        """Ask the broker how many offsets follow the committed one, or `at_least`."""
