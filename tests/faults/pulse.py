"""Whether the machine itself stands still: no deadline can be kept while nothing runs."""

import asyncio
import time

from tests.faults.verdict import Outage

BEAT_SECONDS = 0.1
STILL_SECONDS = 0.5
"""A beat that is later than this by so much tells of a machine that had no time for anybody."""


class Pulse:
    """Beats until stopped. `stalls` are the times in which it could not."""

    def __init__(self) -> None:
        self.stalls: list[Outage] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="pulse")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def seconds(self) -> float:
        """How long the machine stood still, all in all."""
        return sum(stall.ended - stall.began for stall in self.stalls)

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            now = time.monotonic()
            if now - began > BEAT_SECONDS + STILL_SECONDS:
                self.stalls.append(Outage(began, now))
