"""All lanes of one topic, as the transport sees them (`streams.kafka.lanes.Lanes`)."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from streams.kafka.lanes import Source


class OneLane(Protocol):
    """One partition, from assignment to revocation."""

    @property
    def partition(self) -> int: ...

    @property
    def committable(self) -> int:
        """The next offset to read, with everything before it done; -1 while unknown."""

    @property
    def ready(self) -> bool:
        """Whether the partition is being served."""

    async def stop(self, deadline: float) -> None:
        """Finish the work in flight within `deadline` seconds; else drop it."""


L = TypeVar("L", bound=OneLane)


class BatchLanes(Generic[L]):
    """A lane for each assigned partition of `topic`, started by `make`. Each has `drain_s` seconds to end."""

    def __init__(self, topic: str, make: Callable[[int, Source], L], drain_s: float) -> None:
        self.topic = topic
        self.lanes: dict[int, L] = {}
        self.joined = False
        self._make = make
        self._drain_s = drain_s

    def assign(self, partitions: Iterable[int], source: Source) -> None:
        self.joined = True
        for partition in partitions:
            if partition not in self.lanes:
                self.lanes[partition] = self._make(partition, source)

    async def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        going = [self.lanes[partition] for partition in partitions if partition in self.lanes]
        await asyncio.gather(*(lane.stop(self._drain_s) for lane in going))
        for lane in going:
            if self.lanes.get(lane.partition) is lane:  # a rebalance and the worker's shutdown can both revoke it
                del self.lanes[lane.partition]
        return {lane.partition: lane.committable for lane in going if lane.committable >= 0}

    def held(self) -> list[int]:
        return list(self.lanes)

    def committable(self) -> dict[int, int]:
        return {lane.partition: lane.committable for lane in self.lanes.values() if lane.committable >= 0}

    def ready(self) -> bool:
        """Whether the group has assigned partitions, and each is being served."""
        return self.joined and all(lane.ready for lane in self.lanes.values())
