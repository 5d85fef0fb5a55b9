"""The load: a steady stream of events and bursts during all faults, with the time at which each was accepted."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from schemas.topics import EVENTS
from tests.faults.verdict import Place
from tests.support.plane import traffic
from tests.support.topics import Sent

USERS, ITEMS = 60, 40
PARTITIONS = 4
"""Partitions that receive the load; partitions added later have separate users."""

TICK_SECONDS = 0.2
SEND_SECONDS = 90.0
"""Timeout of send retries: longer than any broker outage."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def partitioner(key: bytes | None, partitions: list[int], available: list[int]) -> int:
    """The partition of a key as if the topic had `PARTITIONS` partitions."""
    first = sorted(partitions)[:PARTITIONS]
    return int(DefaultPartitioner()(key, first, first))


class Load:
    """Sends `rate` events a second until stopped. `accepted` has the time at which the broker took each record."""

    def __init__(self, bootstrap: str, seed: int, rate: float) -> None:
        self.accepted: dict[Place, float] = {}
        self.bases: dict[int, int] = {}
        """Offset added per partition: the end of the old topic, if the topic was recreated."""
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
        """Stop sending, and wait until every record was accepted or given up."""
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
        """Wait until every record sent so far was accepted or given up."""
        if self._open:
            await asyncio.wait(set(self._open))

    async def burst(self, count: int) -> None:
        """Send `count` events of all users at once."""
        await self.send(traffic(self._next_seed(), count, USERS, ITEMS, now_ms()))

    async def send(self, records: Iterable[Sent]) -> None:
        """Send records; `accepted` gets their times."""
        for key, value in records:
            future = await self._producer.send(EVENTS.name, value, key=key)
            self._open.add(future)
            future.add_done_callback(self._sent)

    async def send_apart(self, records: Iterable[Sent], partition: int | None = None, **options: Any) -> list[Place]:
        """Send records through a new producer with these options, to `partition` if given, and wait for them."""
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, partitioner=partitioner, **options) as producer:
            while partition is not None and partition not in await producer.partitions_for(EVENTS.name):
                await producer.client.force_metadata_update()
            sent = [await producer.send(EVENTS.name, value, key=key, partition=partition) for key, value in records]
            places = [self.place(each) for each in await asyncio.gather(*sent)]
        self.accept(places)
        return places

    def place(self, record: Any) -> Place:
        """The place of a record of the current topic."""
        return record.partition, record.offset + self.bases.get(record.partition, 0)

    def accept(self, places: Iterable[Place]) -> None:
        """Record these as accepted now."""
        self.accepted.update(dict.fromkeys(places, time.monotonic()))

    async def pause(self) -> None:
        """Stop sending until `resume`, and wait until every record was accepted."""
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
