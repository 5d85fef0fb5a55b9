"""A clock that work moves on, and how far it moves while the event loop sees to nothing else."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from schemas.dead_letters import DeadLetter
from streams.turns import Turns

TURN, UNIT = 0.05, 0.01
"""Seconds of a turn and of a unit of work."""

BOUND = TURN + UNIT + 1e-9
"""How long the loop may be held."""


class Hand:
    """A clock that stands still until somebody works."""

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
