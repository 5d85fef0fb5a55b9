"""Detect stalls of the whole machine, during which no deadline can be met."""

import asyncio
import time

from tests.faults.verdict import Outage

BEAT_SECONDS = 0.1
STILL_SECONDS = 0.5
"""A beat later than this counts as a stall of the machine."""


class Pulse:
    """Beats until stopped, recording `stalls`."""

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
        """The total duration of all stalls."""
        return sum(stall.ended - stall.began for stall in self.stalls)

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            now = time.monotonic()
            if now - began > BEAT_SECONDS + STILL_SECONDS:
                self.stalls.append(Outage(began, now))
