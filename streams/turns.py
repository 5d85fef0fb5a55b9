"""The event loop's time, shared in turns, so that timers, heartbeats and the worker's pages never wait long.

Work that keeps the loop busy (folding, counting, recovery, writing, making lists) is cut into units: an event, a
record, a list. Between two units it checks whether the turn is `over`, and if so awaits the `next` one. All tasks that
share a `Turns` share each turn, so the loop is held for at most `seconds` and one unit, however many lanes there are.
Turns are given first come, first served.
"""

import asyncio
import time
from collections.abc import Callable

REST = 12
"""Iterations of the event loop between two turns. Accepting, reading and answering a request takes about six."""

LOOK_SECONDS = 0.1
"""Between two measurements of how late the loop runs its timers."""


class Turns:
    """Turns of at most `seconds` by `clock` (seconds of a monotonic clock), for the tasks of one event loop."""

    def __init__(self, seconds: float = 0.05, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.until = float("-inf")
        """When the turn is over, by `clock`."""
        self._seconds = seconds
        self._queue = asyncio.Lock()

    def over(self) -> bool:
        """Whether to await the next turn before another unit of work."""
        return self.clock() >= self.until

    async def next(self) -> None:
        """Return at once while the turn lasts; else after the others' turns, when the loop has run everything else."""
        if not self.over():
            return
        async with self._queue:
            if self.over():  # a turn may have begun, and have time left, while we waited
                for _ in range(REST):
                    await asyncio.sleep(0)
                self.until = self.clock() + self._seconds


async def watch(observe: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
    """Tell `observe` by how many seconds a timer was late, ten times a second, until cancelled."""
    while True:
        due = clock() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        observe(max(0.0, clock() - due))
