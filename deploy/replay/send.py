"""Sending a catalogue and recorded events to brokers, at a settable speed.

Items go first, then events in time order, keyed by user with Kafka's default partitioner (murmur2 of the key). The
first part of the events may be **history**: sent as fast as the brokers take it, its times shifted so that it ends now
with its gaps kept, so that workers fold it into the contexts and make no lists for what is long past. The rest is
**live**: sent at the pace asked for, each event carrying the moment it is sent.

At most `MAX_IN_FLIGHT` records wait for the brokers; nothing else is held.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from schemas.codec import encode
from schemas.events import Event
from schemas.items import Item
from schemas.limits import OLDEST_EVENT_MS
from schemas.topics import EVENTS, ITEMS, Topic
from streams.clock import SYSTEM, Clock

MAX_IN_FLIGHT = 2_000
CATCH_UP_SECONDS = 1.0
"""A live replay that fell behind further than this goes on from where it is and sends no burst."""

RIGHTS: Mapping[str, str] = {ITEMS.name: "Write", EVENTS.name: "Write"}
"""What a replay does with which topic."""

Sleep = Callable[[float], Any]


class Sink(Protocol):
    """Where records go. `send` returns when the record is under way, `flush` when all that were sent have arrived."""

    async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None: ...

    async def flush(self) -> None: ...


class KafkaSink:
    """Records to Kafka-protocol brokers, acknowledged by all replicas. Raises `KafkaError` when one was refused."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._failed: BaseException | None = None

    async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None:
        await self._room.acquire()
        self._check()
        try:
            future = await self._producer.send(topic.name, key=key.encode(), value=encode(message))
        except KafkaError:
            self._room.release()
            raise
        future.add_done_callback(partial(self._arrived, topic.name))

    async def flush(self) -> None:
        await self._producer.flush()
        for _ in range(MAX_IN_FLIGHT):
            await self._room.acquire()
        for _ in range(MAX_IN_FLIGHT):
            self._room.release()
        self._check()

    def _arrived(self, topic: str, future: "asyncio.Future[Any]") -> None:
        self._room.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            denied = isinstance(error, TopicAuthorizationFailedError)
            self._failed = TopicAuthorizationFailedError(topic) if denied else error

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed


@asynccontextmanager
async def kafka_sink(
    bootstrap: str,
    connection: Mapping[str, Any] = PLAIN,
    *,
    timeout: float = TIMEOUT_SECONDS,
    rights: Mapping[str, str] = RIGHTS,
) -> AsyncIterator[KafkaSink]:
    """A sink on these brokers; everything has arrived when the block ends.

    `connection` holds further options of an aiokafka client: encryption and a login. `rights` are the topics that the
    block needs, and what it does with them. Raises `DeployError` if the brokers do not answer, or do not take a record,
    for `timeout` seconds, or a topic is missing or may not be written to.
    """
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-replay"}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        producer = AIOKafkaProducer(acks="all", linger_ms=5, request_timeout_ms=int(timeout * 1000), **options)
        try:
            await producer.start()
            await check_topics(producer, bootstrap, connection, rights)
            deadline.lift()  # from here on, each record has its own
            sink = KafkaSink(producer)
            yield sink
            await sink.flush()
        finally:
            await ended(producer)


class Paced(Protocol):
    """What says how fast live events go."""

    def gap(self, before_ms: int, after_ms: int) -> float:
        """Seconds from sending one event to sending the next, which happened at these times."""


@dataclass(frozen=True)
class Pace:
    """How fast live events go: `events_per_second`, or `factor` times as fast as they happened; neither: at once."""

    events_per_second: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        if self.events_per_second is not None and self.factor is not None:
            raise ValueError("a pace is a number of events a second or a factor of the original time, not both")
        if any(speed is not None and speed <= 0 for speed in (self.events_per_second, self.factor)):
            raise ValueError("a pace is above 0")

    def gap(self, before_ms: int, after_ms: int) -> float:
        """Seconds from sending one event to sending the next, which happened at these times."""
        if self.events_per_second is not None:
            return 1.0 / self.events_per_second
        if self.factor is not None:
            return max(0, after_ms - before_ms) / 1000.0 / self.factor
        return 0.0


def shifted(event: Event, by_ms: int) -> Event:
    """The event `by_ms` milliseconds later, at the oldest time that workers accept at the earliest."""
    return msgspec.structs.replace(event, ts=max(OLDEST_EVENT_MS, event.ts + by_ms))


async def send_items(sink: Sink, items: Iterable[Item], *, on_sent: Callable[[Item], None] | None = None) -> int:
    """Send the catalogue and wait until it has arrived; returns how many items."""
    count = 0
    for item in items:
        await sink.send(ITEMS, item.id, item)
        count += 1
        if on_sent is not None:
            on_sent(item)
    await sink.flush()
    return count


async def send_history(
    sink: Sink,
    events: Iterable[Event],
    *,
    last_ms: int,
    ends_ms: int,
    on_sent: Callable[[Event], None] | None = None,
) -> int:
    """Send events at full speed, shifted so that time `last_ms` becomes `ends_ms`; wait until they have arrived."""
    count = 0
    for event in events:
        moved = shifted(event, ends_ms - last_ms)
        await sink.send(EVENTS, moved.user, moved)
        count += 1
        if on_sent is not None:
            on_sent(moved)
    await sink.flush()
    return count


async def send_live(
    sink: Sink,
    events: Iterable[Event],
    pace: Paced,
    *,
    before: Callable[[Event], None] | None = None,
    clock: Clock = SYSTEM,
    sleep: Sleep = asyncio.sleep,
) -> int:
    """Send events at a pace, each with the time at which it is sent; `before` sees each just before it goes."""
    count = 0
    due = clock.monotonic()
    last_ms: int | None = None
    for event in events:
        if last_ms is not None:
            due += pace.gap(last_ms, event.ts)
        last_ms = event.ts
        now = clock.monotonic()
        if due > now:
            await sleep(due - now)
        elif now - due > CATCH_UP_SECONDS:
            due = now
        stamped = msgspec.structs.replace(event, ts=clock.now_ms())
        if before is not None:
            before(stamped)
        await sink.send(EVENTS, stamped.user, stamped)
        count += 1
    await sink.flush()
    return count
