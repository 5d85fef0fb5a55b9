"""A clock that work moves on, and how far it moves while the event loop sees to nothing else."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from schemas.dead_letters import DeadLetter
from streams.turns import Turns

TURN, UNIT = 0.05, 0.01
"""Seconds of a turn and of a unit of work."""

BOUND = TURN + UNIT + 1e-9
"""How long the loop may be held."""


class Hand:
    """A clock that advances only with work."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.turns = Turns(TURN, self)

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float = UNIT) -> None:
        self.now += seconds

    async def longest_hold(self, work: Coroutine[Any, Any, None]) -> float:
        """Do `work`; the most that the clock moved on between two goes of the loop."""
        task, longest, before = asyncio.ensure_future(work), 0.0, self.now
        async with asyncio.timeout(60):
            while not task.done():
                await asyncio.sleep(0)
                longest, before = max(longest, self.now - before), self.now
        task.result()
        return longest


@dataclass(frozen=True)
class Costly:
    """A record that takes a unit of work to read."""

    hand: Hand
    offset: int
    content: bytes | None
    key: bytes | None = None
    partition: int = 0

    @property
    def value(self) -> bytes | None:
        self.hand.work()
        return self.content


def no_letters(letters: Iterable[DeadLetter]) -> None:
    """Take the dead letters of a test in which nothing is refused."""
    assert not list(letters)


class Recorded:
    """A consumer of one partition, as far as a recovery or a replica needs one."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = list(records)
        self.at = 0
        self._client = SimpleNamespace(fetch_all_metadata=self._metadata)

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, tps: object) -> None: ...

    async def _metadata(self) -> Any:
        return SimpleNamespace(partitions_for_topic=lambda _: {0})

    async def end_offsets(self, tps: Sequence[Any]) -> dict[Any, int]:
        return dict.fromkeys(tps, len(self.records))

    async def position(self, tp: object) -> int:
        return self.at

    async def seek_to_beginning(self, *tps: object) -> None:
        self.at = 0

    def seek(self, tp: object, offset: int) -> None:
        self.at = offset

    async def getone(self, tp: object) -> Any:
        return self.records[0]

    async def getmany(self, *_: object, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        found = self.records[self.at : self.at + max_records]
        self.at += len(found)
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return {TopicPartition("t", 0): found}
