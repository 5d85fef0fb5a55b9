"""Acknowledging `ouzel.models`: after each change, and as a heartbeat, until a clean stop withdraws it.

Without the topic nothing is sent. A failed acknowledgement is replaced by the next one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from schemas.codec import encode
from schemas.models import ModelAck
from schemas.topics import MODEL_ACKS
from streams.clock import Clock
from streams.health.failures import describe
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
"""Between two acknowledgements without a change."""

LOOK_SECONDS = 0.25
"""Between two checks whether something has changed: the items that lack a vector change without a record."""

END_SECONDS = 2.0
"""Maximum time for the withdrawal at the end."""


class Acks:
    """The acknowledgements of the worker `worker`. `ack` returns the current one, `exists` says whether the topic
    does."""

    def __init__(
        self,
        worker: str,
        ack: Callable[[], ModelAck],
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        *,
        exists: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._key = worker.encode()
        self._ack = ack
        self._publish = publish
        self._exists = exists
        self._clock = clock
        self._told: tuple[object, ...] | None = None
        self._told_at = float("-inf")
        self._wake = asyncio.Event()
        self._lines = RateLimitedLog(log, clock.monotonic)
        self._ended = False

    def changed(self) -> None:
        """Acknowledge soon."""
        self._wake.set()

    async def run(self) -> None:
        """Acknowledge until cancelled or stopped."""
        while not self._ended:
            await self._look()
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Withdraw the acknowledgement: a worker that has ended is not waited for."""
        self._ended = True
        if self._told is None or not self._exists():
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._publish([Output(MODEL_ACKS.name, self._key, None)])
        except Exception as error:
            log.warning("The acknowledgement of model versions stays, and expires: %s", "; ".join(describe(error)))

    async def _look(self) -> None:
        ack = self._ack()
        said = ack.behind, ack.champion, ack.challenger, ack.lacking == 0
        now = self._clock.monotonic()
        if not self._exists() or (said == self._told and now - self._told_at < HEARTBEAT_SECONDS):
            return
        try:
            await self._publish([Output(MODEL_ACKS.name, self._key, encode(ack))])
        except Exception as error:
            self._lines.error("ack", f"The model versions in use are not acknowledged ({'; '.join(describe(error))})")
            return
        self._told, self._told_at = said, now
