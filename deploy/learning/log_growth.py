"""How much the training log has grown: the likes that no version learned."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.datasets.dataset import likes
from inference.versions.store import Learned
from schemas.events import Event
from schemas.topics import EVENTS
from streams.training_log.reading import LogReader

MAX_COUNTS = 8
"""Counts that are continued: one for the newest version, one for the newest full one, and those before."""


@dataclass
class _Count:
    """Likes before the offsets `behind`, by partition."""

    behind: dict[int, int]
    likes: int = 0


@dataclass
class LogGrowth:
    """Implements `deploy.learning.ports.Log`. Each record is read once for each version that it is counted from."""

    root: str
    _counts: dict[tuple[tuple[int, int], ...], _Count] = field(default_factory=dict)

    async def likes(self, learned: Sequence[Learned]) -> int:
        """Likes behind the ranges that a version learned. Raises `LogFailed`."""
        behind: dict[int, int] = {}
        for each in learned:
            if each.topic == EVENTS.name:
                behind[each.partition] = max(behind.get(each.partition, 0), each.behind)
        return await asyncio.to_thread(self._counted, behind)

    def _counted(self, behind: Mapping[int, int]) -> int:
        key = tuple(sorted(behind.items()))
        count = self._counts.setdefault(key, _Count(dict(behind)))
        reading = LogReader(self.root).read(EVENTS.name, Event, after=count.behind)
        count.likes += sum(map(likes, reading))
        for each in reading.ranges:
            count.behind[each.partition] = max(count.behind.get(each.partition, 0), each.behind)
        while len(self._counts) > MAX_COUNTS:
            del self._counts[next(iter(self._counts))]
        return count.likes
