"""Publishing comparisons in the background, so that the fold never waits for them.

What cannot be published is retried. Beyond `MOST_WAITING` comparisons the oldest are dropped, and so are those of a
cluster without the topic; both are counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from schemas.codec import encode
from schemas.models import Comparison
from schemas.topics import COMPARISONS
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog
from streams.metrics import LOST, SENT, Metrics
from streams.retry import Pauses, logged

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Maximum comparisons that wait; each takes about 1 KiB."""

AT_ONCE = 200
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds after a failure, doubled after each further failure."""


class Comparisons:
    """The comparisons to publish. `exists` says whether the topic does."""

    def __init__(
        self,
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        *,
        exists: Callable[[], bool],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._publish = publish
        self._exists = exists
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[tuple[str, Comparison]] = deque()
        self._wake = asyncio.Event()
        self._failed = logged(RateLimitedLog(log, clock.monotonic), "Comparisons of model versions were not published")

    def add(self, user: str, comparison: Comparison) -> None:
        """Queue a comparison by a like of `user`. Never waits."""
        if not self._exists():
            self._count(LOST)
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._count(LOST)
        self._waiting.append((user, comparison))
        self._wake.set()

    def drop(self, user: str) -> bool:
        """Drop those of an erased user that still wait; whether there were any."""
        before = len(self._waiting)
        self._waiting = deque(each for each in self._waiting if each[0] != user)
        return len(self._waiting) < before

    async def run(self) -> None:
        """Publish until cancelled."""
        pauses = Pauses(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._send()
            except Exception as error:
                pause = pauses.next()
                self._failed(error, pause)
                await self._clock.sleep(pause)
            else:
                pauses.reset()

    async def flush(self, seconds: float) -> None:
        """Publish what waits within `seconds`; what is left then is dropped and counted. For the end of the worker."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._send()
        except Exception as error:
            log.warning("%d comparisons were not published (%s)", len(self._waiting), type(error).__name__)
        self._count(LOST, len(self._waiting))
        self._waiting.clear()

    async def _send(self) -> None:
        first = [self._waiting[at] for at in range(min(AT_ONCE, len(self._waiting)))]
        await self._publish([Output(COMPARISONS.name, each.list.encode(), encode(each)) for _, each in first])
        self._count(SENT, len(first))
        for each in first:
            if self._waiting and self._waiting[0] is each:  # not dropped meanwhile
                self._waiting.popleft()

    def _count(self, outcome: str, count: int = 1) -> None:
        self._metrics.comparisons.labels(outcome).inc(count)
