"""People who go on doing things, whatever breaks: a steady stream of events, and bursts; and when each was accepted."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from schemas.topics import EVENTS
from tests.faults.verdict import Place
from tests.support.plane import Sent, traffic

PEOPLE, ITEMS = 60, 40
PARTITIONS = 4
"""Of these the load goes to; partitions that are added have users of their own."""

TICK_SECONDS = 0.2
SEND_SECONDS = 90.0
"""How long a send is tried again: longer than a broker is away."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def partitioner(key: bytes | None, partitions: list[int], available: list[int]) -> int:
    """Where Kafka's clients send a key while there are `PARTITIONS` partitions."""
    first = sorted(partitions)[:PARTITIONS]
    return int(DefaultPartitioner()(key, first, first))


class Load:
    """Sends `rate` events a second until stopped. `accepted` says when the broker had the record at a place."""

    def __init__(self, bootstrap: str, seed: int, rate: float) -> None:
        self.accepted: dict[Place, float] = {}
        self.bases: dict[int, int] = {}
        """By partition, what is added to its offsets: where the topic was recreated, the old one's end."""
        self._bootstrap = bootstrap
        self._seed = seed * 1_000_000
        self._count = max(1, round(rate * TICK_SECONDS))
        self._task: asyncio.Task[None] | None = None
        self._open: set[asyncio.Future[Any]] = set()

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            linger_ms=5,
            max_request_size=2_000_000,
            request_timeout_ms=int(SEND_SECONDS * 1000),
            partitioner=partitioner,
        )
        await self._producer.start()
        self.resume()

    async def stop(self) -> None:
        """Send no more, and wait until everything sent has been accepted or given up."""
        if self._task is None:
            return
        await self.pause()
        await self._producer.stop()

    async def _end(self) -> None:
        assert self._task is not None, "it was started"
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def flush(self) -> None:
        """Wait until everything that was sent before this has been accepted or given up."""
        if self._open:
            await asyncio.wait(set(self._open))

    async def burst(self, count: int) -> None:
        """`count` events of everybody at once."""
        await self.send(traffic(self._next_seed(), count, PEOPLE, ITEMS, now_ms()))

    async def send(self, records: Iterable[Sent]) -> None:
        """Hand records to the producer; when they are in is noted in `accepted`."""
        for key, value in records:
            future = await self._producer.send(EVENTS.name, value, key=key)
            self._open.add(future)
            future.add_done_callback(self._sent)

    async def send_apart(self, records: Iterable[Sent], partition: int | None = None, **options: Any) -> list[Place]:
        """Send records through a producer with these options, to `partition` if given, and wait until they are in."""
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, partitioner=partitioner, **options) as producer:
            while partition is not None and partition not in await producer.partitions_for(EVENTS.name):
                await producer.client.force_metadata_update()
            sent = [await producer.send(EVENTS.name, value, key=key, partition=partition) for key, value in records]
            places = [self.place(each) for each in await asyncio.gather(*sent)]
        self.accept(places)
        return places

    def place(self, record: Any) -> Place:
        """Where something stands that has a partition and an offset of the topic as it is now."""
        return record.partition, record.offset + self.bases.get(record.partition, 0)

    def accept(self, places: Iterable[Place]) -> None:
        """The broker has had these since now."""
        self.accepted.update(dict.fromkeys(places, time.monotonic()))

    async def pause(self) -> None:
        """Send nothing more, and wait until everything sent is in, until `resume`."""
        await self._end()
        await self.flush()

    def resume(self) -> None:
        self._task = asyncio.create_task(self._run(), name="load")

    def _sent(self, future: asyncio.Future[Any]) -> None:
        self._open.discard(future)
        if not future.cancelled() and future.exception() is None:
            self.accept([self.place(future.result())])

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            await self.burst(self._count)
            due = max(due + TICK_SECONDS, time.monotonic() - TICK_SECONDS)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
