"""The thread that owns Faust's aiokafka consumer, with fetches for lanes beside its method queue."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP

from streams.errors import CannotRead
from streams.health.failures import describe
from streams.kafka.connection import paced
from streams.kafka.fetcher import COMMITTED, Fetched, fetched, tolerate
from streams.kafka.partitions import learn
from streams.kafka.recreated_topics import Range
from streams.log_limit import RateLimitedLog

log = logging.getLogger(__name__)

NOTHING = Fetched([], -1)

COMMIT_SECONDS = 30.0
"""Maximum time of a commit."""

LAST_COMMIT_SECONDS = 5.0
"""Maximum time of a commit while the worker ends."""

UNREAD_SECONDS = 2.0
"""Pause before reading for an agent is retried after a failure."""

UNREAD_PAUSE_SECONDS = 0.2
"""Pause before Faust's partitions are checked again after one could not be read. Short: commits wait for it."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer. The coroutines here run in its loop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fetches: set[asyncio.Task[Fetched]] = set()
        self._fetching = False
        self._lines = RateLimitedLog(log)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = paced(super()._create_worker_consumer(transport))
        consumer._fetch_max_wait_ms = transport.fetch_wait_ms  # Faust hard-codes 1.5 s
        consumer._isolation_level = COMMITTED  # Faust sets it only for its transactions
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        tolerate(self._ensure_consumer())

    def call_soon(self, work: Awaitable[Any]) -> Awaitable[Any]:
        """Run `work` in the thread's loop, beside its method queue: waiting for records must not delay commits."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(cast(Any, work), self.thread_loop))

    async def fetch(self, tp: TopicPartition, max_records: int, timeout: float) -> Fetched:
        if not self._fetching:
            await asyncio.sleep(min(timeout, 0.05))  # a rebalance is under way: the lane is about to be revoked
            return NOTHING
        fetcher = self._ensure_consumer()._fetcher
        task = asyncio.ensure_future(fetched(fetcher, tp, max_records, timeout))
        self._fetches.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._fetches.discard(task)
        return NOTHING if task.cancelled() else task.result()

    async def end_fetches(self) -> None:
        """End all open fetches. None begins until partitions are assigned."""
        self._fetching = False
        for task in self._fetches:
            task.cancel()
        if self._fetches:
            await asyncio.wait(self._fetches)

    async def committed(self, tp: TopicPartition) -> int | None:
        return cast(int | None, await self._ensure_consumer().committed(tp))

    async def available(self, tp: TopicPartition) -> Range:
        consumer = self._ensure_consumer()
        first, end = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
        return Range(first[tp], end[tp])

    async def first_offsets(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        return cast(
            Mapping[TP, int], await self._ensure_consumer().beginning_offsets(list(map(ensure_aiokafka_TP, tps)))
        )

    async def seek_to(self, tp: TopicPartition, offset: int) -> None:
        self._ensure_consumer().seek(tp, offset)

    async def keep_up(self, partitions: Mapping[str, int]) -> None:
        """Continue after errors that stop aiokafka's coordination; refresh topics whose number of partitions changed.

        If partitions were added, the group rebalances and assigns them. The coordination halts when the group may not
        be read, until the error is acknowledged, which Faust never does; and it ends on unexpected errors.
        """
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator
        if coordinator is None:
            return  # not started yet
        try:
            coordinator.check_errors()
        except Exception as error:
            log.warning("The consumer group stopped (%s); it continues", "; ".join(describe(error)))
            if coordinator._coordination_task.done() and not coordinator._closing.done():
                coordinator._coordination_task = asyncio.ensure_future(coordinator._coordination_routine())
        learn(consumer._client, {name: count for name, count in partitions.items() if name in consumer.subscription()})

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # A refused commit is repeated with later ones: no reason to end the worker.
        try:
            async with asyncio.timeout(LAST_COMMIT_SECONDS if self.consumer.app.should_stop else COMMIT_SECONDS):
                return await self._try_commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.warning("Offsets could not be committed (%s); retrying", "; ".join(describe(error)))
            return False

    async def _try_commit(self, offsets: Mapping[TP, int]) -> bool:
        held = self.assignment()
        due = {ensure_aiokafka_TP(tp): OffsetAndMetadata(to, "") for tp, to in offsets.items() if tp in held}
        now = monotonic()
        self.tp_last_committed_at.update({tp: now for tp in offsets if tp in held})
        try:
            await self._ensure_consumer().commit(due)
        except (CommitFailedError, IllegalStateError):
            return False  # the partitions moved to others, who read again from the last commit
        return True

    async def behind(self, tp: TopicPartition, at_least: int) -> int:
        consumer = self._ensure_consumer()
        end = (await consumer.end_offsets([tp]))[tp]
        start = at_least if at_least >= 0 else await consumer.committed(tp)
        if start is None:
            start = (await consumer.beginning_offsets([tp]))[tp]
        return max(0, cast(int, end) - cast(int, start))

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        # The consumer changes its set during a fetch; if it becomes empty, aiokafka fetches every partition.
        if active_partitions is not None:
            active_partitions = set(active_partitions)
            if not active_partitions:
                return {}
        try:
            return await super().getmany(active_partitions, timeout)
        except KafkaError as error:
            # It would end the worker. The survey says what is missing; this continues once it is there.
            why = "; ".join(describe(error))
            self._lines.error(why, f"Items and orders cannot be read ({why}); retrying")
            await asyncio.sleep(UNREAD_SECONDS)
            return {}

    async def _fetch_records(self, *args: Any, **options: Any) -> Mapping[TP, list[Any]]:
        # Raised here, it would end the thread and the worker; the other partitions continue.
        try:
            return await super()._fetch_records(*args, **options)
        except CannotRead as error:
            self._lines.error(error.cause, str(error))
            await asyncio.sleep(UNREAD_PAUSE_SECONDS)
            return {}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.end_fetches()
        await self._unless_it_ends(super().on_partitions_revoked(revoked))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._fetching = True
        await self._unless_it_ends(super().on_partitions_assigned(assigned, generation_id))

    async def on_thread_stop(self) -> None:
        await self._end_fetcher()
        await super().on_thread_stop()

    async def _end_fetcher(self) -> None:
        """End aiokafka's fetcher. While it releases partitions it swallows a cancellation: cancelling once and waiting,
        as Faust does, may never return."""
        fetcher = None if self._consumer is None else self._consumer._fetcher
        while fetcher is not None and not fetcher._fetch_task.done():
            fetcher._fetch_task.cancel()
            await asyncio.wait([fetcher._fetch_task], timeout=0.1)

    async def _unless_it_ends(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the main thread's part in a rebalance, or until this thread must end.

        By then everything is handed over (`BatchConsumer.on_stop`). The main thread's requests to this thread are
        cancelled or never answered, and aiokafka's consumer would wait for them for ever.
        """
        part = asyncio.ensure_future(work)
        ends = [asyncio.ensure_future(event.wait()) for event in (self._stopped, self._crashed)]
        try:
            await asyncio.wait([part, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not self.should_stop:
                await part
        finally:
            for each in (part, *ends):
                each.cancel()
            await asyncio.gather(part, *ends, return_exceptions=True)


class TopicSource:
    """The `Source` of one topic's lanes."""

    def __init__(self, thread: BatchConsumerThread, topic: str) -> None:
        self._thread = thread
        self._topic = topic
        self._past: dict[int, int] = {}

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        work = self._thread.fetch(self._tp(partition), max_records, timeout)
        records, past = cast(Fetched, await self._thread.call_soon(work))
        if past >= 0:
            self._past[partition] = past
        return records

    def past(self, partition: int) -> int:
        return self._past.get(partition, -1)

    async def behind(self, partition: int, at_least: int) -> int:
        return cast(int, await self._thread.call_soon(self._thread.behind(self._tp(partition), at_least)))

    async def committed(self, partition: int) -> int | None:
        return cast(int | None, await self._thread.call_soon(self._thread.committed(self._tp(partition))))

    async def available(self, partition: int) -> Range:
        return cast(Range, await self._thread.call_soon(self._thread.available(self._tp(partition))))

    async def seek(self, partition: int, offset: int) -> None:
        self._past.pop(partition, None)
        await self._thread.call_soon(self._thread.seek_to(self._tp(partition), offset))

    def end_offset(self, partition: int) -> int | None:
        try:
            return cast(int | None, self._thread.highwater(self._tp(partition)))
        except (ConsumerNotStarted, IllegalStateError):
            return None

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
