"""The event loop's time, handed out in turns, so that timers, heartbeats and the worker's pages never wait for long.

What keeps the loop busy (folding, counting, recovery, writing, making lists) is cut into units: an event, a record, a
list. Whoever works through many asks between two of them whether the turn is `over`, and if so awaits the `next` one.
All who share a `Turns` share each turn, so the loop is held for `seconds` and one unit at most, however many lanes
there are. Turns are given first come, first served.
"""

import asyncio
import time
from collections.abc import Callable

REST = 12
"""Goes of the event loop between two turns. To take up a connection, read its request and answer takes about six."""

LOOK_SECONDS = 0.1
"""Between two looks at how late the loop runs its timers."""


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
        """Return at once while the turn lasts; else when others had theirs and the loop has seen to everything else."""
        if not self.over():
            return
        async with self._queue:
            if self.over():  # it may be one that began, and was not used up, while we stood in line
                for _ in range(REST):
                    await asyncio.sleep(0)
                self.until = self.clock() + self._seconds


async def watch(observe: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
    """Tell `observe` by how many seconds a timer was late, ten times a second, until cancelled."""
    while True:
        due = clock() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        observe(max(0.0, clock() - due))
