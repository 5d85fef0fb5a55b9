"""Send the live events of a pass as fast as their lists come, and take in the lists."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from deploy.datasets.dataset import likes
from deploy.kafka.asking import TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from deploy.loop.companion import Companion
from deploy.loop.judging import Account
from deploy.loop.order import InOrder
from deploy.replay.send import Sink
from deploy.replay.watch import beside
from schemas.codec import decode
from schemas.errors import Refused
from schemas.events import Event
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.clock import SYSTEM, Clock
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import partitions_of

GIVE_UP_SECONDS = 15.0
"""A user whose list did not come for this long goes on without it: it is lost unless it still comes."""

RIGHTS = {RECOMMENDATIONS.name: "Read"}


class Drive:
    """The live part of one pass. `told` is called after each list."""

    def __init__(
        self,
        account: Account,
        companion: Companion,
        *,
        in_flight: int,
        window: int,
        told: Callable[[], None] = lambda: None,
        clock: Clock = SYSTEM,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._account, self._companion = account, companion
        self._in_flight, self._window = in_flight, window
        self._told, self._clock, self._give_up = told, clock, give_up_seconds
        self._moved = asyncio.Event()
        self._waiting: dict[str, tuple[str, float]] = {}
        """By user: the event that waits for its list, and since when."""
        self._order = InOrder((), in_flight=1, window=1)
        self.given_up = 0

    async def run(self, bootstrap: str, sink: Sink, live: Sequence[Event]) -> float:
        """Send all events, and wait for their lists; the seconds that took. Raises `DeployError`."""
        async with asking(bootstrap, {}, seconds=TIMEOUT_SECONDS, rights=RIGHTS) as deadline:
            consumer = Reader(bootstrap_servers=bootstrap, fetch_max_wait_ms=50)
            try:
                await consumer.start()
                await check_topics(consumer, bootstrap, {}, RIGHTS)
                partitions = await partitions_of(consumer, RECOMMENDATIONS.name)
                consumer.assign(partitions)
                await consumer.seek_to_end(*partitions)
                for partition in partitions:
                    await consumer.position(partition)  # the ends are known before the first event goes out
                deadline.lift()
                async with beside(self._take_in(consumer)):
                    began = time.monotonic()
                    await self._send(sink, live)
                    return time.monotonic() - began
            finally:
                await ended(consumer)

    async def _send(self, sink: Sink, live: Sequence[Event]) -> None:
        self._order = InOrder(live, in_flight=self._in_flight, window=self._window)
        liked = 0
        while self._order.left or self._waiting:
            at = self._order.next()
            if at is None:
                await self._wait()
                continue
            event = live[at]
            if likes(event):
                await self._companion.before_like(liked)
                liked += 1
            stamped = msgspec.structs.replace(event, ts=self._clock.now_ms())
            self._account.about_to_send(stamped)
            self._waiting[event.user] = event.id, self._clock.monotonic()
            await sink.send(EVENTS, stamped.user, stamped)
        await sink.flush()

    async def _wait(self) -> None:
        """Return when a list came, or a user gave up."""
        oldest = min(since for _, since in self._waiting.values())
        left = oldest + self._give_up - self._clock.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), max(0.0, left))
        self._moved.clear()
        now = self._clock.monotonic()
        for user in [user for user, (_, since) in self._waiting.items() if now - since >= self._give_up]:
            self.given_up += 1
            self._go_on(user)

    def _go_on(self, user: str) -> None:
        self._waiting.pop(user, None)
        self._order.answered(user)
        self._moved.set()

    async def _take_in(self, consumer: Any) -> None:
        async for record in consumer:
            with contextlib.suppress(Refused):  # an unreadable list is lost
                made = decode(Recommendation, record.value)
                if self._account.published(made):
                    if self._waiting.get(made.user, ("", 0.0))[0] == made.trigger:
                        self._go_on(made.user)
                    self._told()
