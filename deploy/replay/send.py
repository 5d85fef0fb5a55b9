"""Send a catalogue and recorded events to brokers at a configurable speed.

Items go first, then events in time order, keyed by user with Kafka's default partitioner (murmur2 of the key). The
first part of the events may be **history**: sent as fast as the brokers accept it, with its times shifted to end in
the recent past and its gaps unchanged, so that workers fold it into contexts but make no lists for it. The rest is
**live**: sent at the requested pace, each event stamped with the time at which it is sent.

At most `MAX_IN_FLIGHT` records wait for the brokers; nothing else is buffered.
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
"""A live replay that falls further behind than this skips the delay instead of sending a burst."""

RIGHTS: Mapping[str, str] = {ITEMS.name: "Write", EVENTS.name: "Write"}
"""The rights that a replay needs."""

Sleep = Callable[[float], Any]


class Sink(Protocol):
    """A destination of records. `send` returns when the record is queued, `flush` when all records have arrived."""

    async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None: ...

    async def flush(self) -> None: ...


class KafkaSink:
    """Sends records to Kafka brokers, acknowledged by all replicas. Raises `KafkaError` if one was refused."""

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

    `connection` holds further options of an aiokafka client: encryption and a login. `rights` maps the topics that the
    block needs to the right on each. Raises `DeployError` if the brokers do not answer or do not accept a record for
    `timeout` seconds, or a topic is missing or not writable.
    """
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-replay"}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        producer = AIOKafkaProducer(acks="all", linger_ms=5, request_timeout_ms=int(timeout * 1000), **options)
        try:
            await producer.start()
            await check_topics(producer, bootstrap, connection, rights)
            deadline.lift()  # from here on, each record has a deadline
            sink = KafkaSink(producer)
            yield sink
            await sink.flush()
        finally:
            await ended(producer)


class Paced(Protocol):
    """The speed of live events."""

    def gap(self, before_ms: int, after_ms: int) -> float:
        """Seconds between sending two consecutive events that happened at these times."""


@dataclass(frozen=True)
class Pace:
    """The speed of live events: `events_per_second`, or `factor` times the original speed; neither: no delays."""

    events_per_second: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        if self.events_per_second is not None and self.factor is not None:
            raise ValueError("a pace has events_per_second or factor, not both")
        if any(speed is not None and speed <= 0 for speed in (self.events_per_second, self.factor)):
            raise ValueError("a pace must be above 0")

    def gap(self, before_ms: int, after_ms: int) -> float:
        """Seconds between sending two consecutive events that happened at these times."""
        if self.events_per_second is not None:
            return 1.0 / self.events_per_second
        if self.factor is not None:
            return max(0, after_ms - before_ms) / 1000.0 / self.factor
        return 0.0


def shifted(event: Event, by_ms: int) -> Event:
    """The event `by_ms` milliseconds later, but not before the oldest time that workers accept."""
    return msgspec.structs.replace(event, ts=max(OLDEST_EVENT_MS, event.ts + by_ms))


async def send_items(sink: Sink, items: Iterable[Item], *, on_sent: Callable[[Item], None] | None = None) -> int:
    """Send the catalogue and wait until it has arrived; return the number of items."""
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
    """Send events at full speed, with `last_ms` shifted to `ends_ms`; wait until they have arrived; return how many."""
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
    """Send events at a pace, each stamped with its send time; call `before` with each just before; return how many."""
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
