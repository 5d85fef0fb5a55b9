"""All lanes of a worker, as the transport sees them (`streams.transport.Lanes`)."""

import asyncio
from collections.abc import Iterable

from schemas.topics import EVENTS
from streams.lane import Lane, Plane
from streams.transport import Source

DRAIN_SHARE = 0.4
"""The share of the rebalance timeout that a lane may take to write what is in flight."""


class BatchLanes:
    """A lane for each partition of `ouzel.events` that is ours. `plane` is set before the consumer starts."""

    topic = EVENTS.name

    def __init__(self) -> None:
        self.plane: Plane | None = None
        self.lanes: dict[int, Lane] = {}
        self.joined = False

    def assign(self, partitions: Iterable[int], source: Source) -> None:
        assert self.plane is not None, "the plane is set before the consumer starts"
        self.joined = True
        for partition in partitions:
            if partition not in self.lanes:
                self.lanes[partition] = Lane(partition, source, self.plane)

    async def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        assert self.plane is not None, "the plane is set before the consumer starts"
        going = [self.lanes[partition] for partition in partitions if partition in self.lanes]
        deadline = self.plane.settings.rebalance_timeout_s * DRAIN_SHARE
        await asyncio.gather(*(lane.stop(deadline) for lane in going))
        for lane in going:
            if self.lanes.get(lane.partition) is lane:  # a rebalance and the worker's end can both revoke it
                del self.lanes[lane.partition]
        return {lane.partition: lane.committable for lane in going if lane.committable >= 0}

    def held(self) -> list[int]:
        return list(self.lanes)

    def committable(self) -> dict[int, int]:
        return {lane.partition: lane.committable for lane in self.lanes.values() if lane.committable >= 0}

    def ready(self) -> bool:
        """Whether the group has told us our partitions, and each is being served."""
        return self.joined and all(lane.state is not None for lane in self.lanes.values())
