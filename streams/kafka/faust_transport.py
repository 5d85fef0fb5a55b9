"""Faust's aiokafka transport with a batch path: some topics' records, partition by partition, straight to a coroutine.

Faust keeps what it is good at: the group, the assignment, the consumer thread, timers, agents, web. What it does for
each single record (about 0.15 ms, and turns of the event loop, for which lists stand in line) is left out for batch
topics: their partitions belong to the group and are assigned like all others, but Faust never fetches them. Each has a
*lane* (`streams.agents.events`, `streams.agents.covisits`), which asks for its own next records, as many as are there;
while it is busy, aiokafka prefetches, and no more than one fetch, so a slow lane holds up nobody.

Hand-over, in this order. Revoked: open fetches end without records; the lanes finish or drop what is in flight; what is
durable is committed; only then the rebalance goes on. Assigned: new lanes start, each from the committed offset, once
its state is recovered. So a record that was fetched is folded by this worker before the hand-over or not at all, and an
offset is only committed by the worker that holds the partition in the group's current generation.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, cast

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP, AppT
from yarl import URL

from streams.errors import CannotRead
from streams.health.failures import describe
from streams.health.losses import Lost, report
from streams.kafka.connection import paced
from streams.kafka.fetcher import COMMITTED, Fetched, fetched, tolerate
from streams.kafka.partitions import learn, of_topic
from streams.kafka.recreated_topics import Range
from streams.log_limit import Seldom

log = logging.getLogger(__name__)

NOTHING = Fetched([], -1)

COMMIT_SECONDS = 30.0
"""How long a commit may take."""

LAST_COMMIT_SECONDS = 5.0
"""How long one may take when the worker ends."""

FLUSH_SECONDS = 2.0
"""How long a rebalance waits for what is still being sent."""

UNREAD_SECONDS = 2.0
"""Between two tries to read what an agent reads, where that fails."""

UNREAD_PAUSE_SECONDS = 0.2
"""Before Faust's partitions are looked at again where one cannot be read for now. Short: commits stand in line behind
it."""


class Lanes(Protocol):
    """What the transport needs of the lanes of one topic."""

    topic: str

    def assign(self, partitions: Iterable[int], source: "Source") -> None:
        """These partitions are ours: start a lane for each. Returns at once."""

    async def revoke(self, partitions: Iterable[int]) -> dict[int, int]:
        """End the lanes of these partitions; the offsets to commit for them. Takes a bounded time."""

    def held(self) -> list[int]:
        """The partitions that have a lane."""

    def committable(self) -> dict[int, int]:
        """The next offset to read of each partition, where everything before it is durable."""


class Source(Protocol):
    """What a lane needs of the transport."""

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        """The next records of the partition: about `max_records` of them, more by less than one of its record batches.

        An empty list if none come in time, or if a rebalance has begun.
        """

    async def committed(self, partition: int) -> int | None:
        """The group's offset, if it has one."""

    async def available(self, partition: int) -> Range:
        """The offsets that the brokers hold now."""

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch from this offset on."""

    def end_offset(self, partition: int) -> int | None:
        """The end of the partition as of the last fetch, if known."""

    def past(self, partition: int) -> int:
        """The offset behind all that was fetched since the last `seek`, with markers and what was aborted;
        -1 if that is not known."""

    async def behind(self, partition: int, at_least: int) -> int:
        """Ask the broker how many offsets the partition has behind the committed one, or behind `at_least`."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer. The coroutines here run in its loop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fetches: set[asyncio.Task[Fetched]] = set()
        self._fetching = False
        self._lines = Seldom(log)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = paced(super()._create_worker_consumer(transport))
        consumer._fetch_max_wait_ms = transport.fetch_wait_ms  # Faust has no setting for it, and 1.5 s
        consumer._isolation_level = COMMITTED  # Faust has it in transactions of its own only
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        tolerate(self._ensure_consumer())

    def call_soon(self, work: Awaitable[Any]) -> Awaitable[Any]:
        """Run `work` in the thread's loop, beside its method queue: waiting for records must not hold up commits."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(cast(Any, work), self.thread_loop))

    async def fetch(self, tp: TopicPartition, max_records: int, timeout: float) -> Fetched:
        if not self._fetching:
            await asyncio.sleep(min(timeout, 0.05))  # a rebalance is under way: the lane is about to be told
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
        """No fetch is open once this returns, and none begins until partitions are assigned."""
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
        """Go on after what stops aiokafka for good, and learn of topics that have these numbers of partitions now.

        Where partitions were added, the group forms again and assigns them. The group's coordination halts where the
        group may not be read, until somebody takes note of the error, which Faust never does, and ends where it did not
        expect an error.
        """
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator
        if coordinator is None:
            return  # it is about to start
        try:
            coordinator.check_errors()
        except Exception as error:
            log.warning("The consumer group stopped (%s); it goes on", "; ".join(describe(error)))
            if coordinator._coordination_task.done() and not coordinator._closing.done():
                coordinator._coordination_task = asyncio.ensure_future(coordinator._coordination_routine())
        learn(consumer._client, {name: count for name, count in partitions.items() if name in consumer.subscription()})

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # A commit that the brokers refuse is made again later, with all after it: no reason to end the worker.
        try:
            async with asyncio.timeout(LAST_COMMIT_SECONDS if self.consumer.app.should_stop else COMMIT_SECONDS):
                return await self._try_commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.warning("Offsets could not be committed (%s); trying again", "; ".join(describe(error)))
            return False

    async def _try_commit(self, offsets: Mapping[TP, int]) -> bool:
        held = self.assignment()
        due = {ensure_aiokafka_TP(tp): OffsetAndMetadata(to, "") for tp, to in offsets.items() if tp in held}
        now = monotonic()
        self.tp_last_committed_at.update({tp: now for tp in offsets if tp in held})
        try:
            await self._ensure_consumer().commit(due)
        except (CommitFailedError, IllegalStateError):
            return False  # the partitions went to others meanwhile, who read again from the last commit
        return True

    async def behind(self, tp: TopicPartition, at_least: int) -> int:
        consumer = self._ensure_consumer()
        end = (await consumer.end_offsets([tp]))[tp]
        start = at_least if at_least >= 0 else await consumer.committed(tp)
        if start is None:
            start = (await consumer.beginning_offsets([tp]))[tp]
        return max(0, cast(int, end) - cast(int, start))

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        # The consumer changes its set while a fetch waits; emptied, aiokafka would take it to mean every partition.
        if active_partitions is not None:
            active_partitions = set(active_partitions)
            if not active_partitions:
                return {}
        try:
            return await super().getmany(active_partitions, timeout)
        except KafkaError as error:
            # It would end the worker. The survey says what is missing, and this goes on once it is there.
            why = "; ".join(describe(error))
            self._lines.error(why, f"Items and orders cannot be read ({why}); trying again")
            await asyncio.sleep(UNREAD_SECONDS)
            return {}

    async def _fetch_records(self, *args: Any, **options: Any) -> Mapping[TP, list[Any]]:
        # Raised here, it would end the thread and the worker; the other partitions of the path go on.
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
        """End aiokafka's fetcher. While it lets go of partitions it swallows being cancelled: who cancels it once and
        waits, as Faust does, waits for ever."""
        fetcher = None if self._consumer is None else self._consumer._fetcher
        while fetcher is not None and not fetcher._fetch_task.done():
            fetcher._fetch_task.cancel()
            await asyncio.wait([fetcher._fetch_task], timeout=0.1)

    async def _unless_it_ends(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the main thread's part in a rebalance, or until this one is told to end.

        By then all is handed over (`BatchConsumer.on_stop`). What the other part still asks of this thread is cancelled
        or gets no answer any more, and aiokafka's consumer would wait for that for ever.
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


class BatchConsumer(driver.Consumer):
    """Faust's consumer, which leaves the batch topics to their lanes."""

    _thread: BatchConsumerThread
    _counted: dict[TP, int]
    """The committed offset behind which lost records were reported, by partition: it is seeked to more than once."""
    _between = False
    """Whether partitions were revoked and none assigned since."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._counted = {}
        super().__init__(*args, **kwargs)

    async def keep_up(self, partitions: Mapping[str, int]) -> None:
        """See `BatchConsumerThread.keep_up`."""
        if not self._thread.thread_loop.is_closed():
            await self._thread.call_soon(self._thread.keep_up(partitions))

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _lanes(self) -> Sequence[Lanes]:
        return cast(BatchTransport, self.transport).lanes

    def _in_lanes(self, topic: str) -> bool:
        return any(topic == lanes.topic for lanes in self._lanes)

    def _others(self, tps: Iterable[TP]) -> set[TP]:
        return {tp for tp in tps if not self._in_lanes(tp.topic)}

    # Faust fetches its active partitions; those of batch topics are never among them.

    def _set_active_tps(self, tps: set[TP]) -> set[TP]:
        return super()._set_active_tps(self._others(tps))

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(self._others(tps))

    def verify_event_path(self, now: float, tp: TP) -> None:
        if not self._in_lanes(tp.topic):
            # What Faust looks at is not there of a partition that is just being assigned: that ended the worker.
            with contextlib.suppress(AssertionError, AttributeError):
                super().verify_event_path(now, tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self._hand_over(revoked)
        await super().on_partitions_revoked(revoked)
        self._between = True

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        for tp in assigned:  # what an agent acknowledged late, of an assignment before this one, says nothing now
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)
        self._between = False
        await super().on_partitions_assigned(assigned, generation_id)
        if not self.app.should_stop:  # else they are about to go to others
            for lanes in self._lanes:
                lanes.assign(of_topic(lanes.topic, assigned), TopicSource(self._thread, lanes.topic))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        # aiokafka leaves a partition without a committed offset where it is: what was fetched during a rebalance, when
        # nothing is delivered, would never come again.
        committed = await super().seek_to_committed()
        await self._report_losses(committed)
        never = self._others(tp for tp, offset in committed.items() if not offset)
        if never:
            await self._thread.seek_to_beginning(*never)
        return committed

    async def _report_losses(self, committed: Mapping[TP, int]) -> None:
        """Report what retention deleted before an agent could read it."""
        known = {tp for tp in self._others(committed) if committed[tp] and self._counted.get(tp) != committed[tp]}
        if not known:
            return
        try:
            first = await self._thread.call_soon(self._thread.first_offsets(known))
        except KafkaError as error:
            log.warning("Whether records are gone is not known (%s)", "; ".join(describe(error)))
            return
        for tp in sorted(known):
            lost = first.get(tp, 0) - committed[tp]
            if lost > 0:
                self._counted[tp] = committed[tp]
                cast(BatchTransport, self.transport).lost(tp.topic, tp.partition, committed[tp], lost)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Faust counts the record just delivered as part of the gap before it, and so as done.
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def ack(self, message: Any) -> bool:
        # What was taken before a rebalance and is finished after it was dropped by its owner, and comes again, here or
        # elsewhere: it is not done. The broker would still take the commit while the group is being formed anew. When
        # the worker ends, Faust cancels agents and acknowledges what they had taken, done or not.
        if self._between or self.app.should_stop or message.generation_id != self.app.consumer_generation_id:
            return False
        return bool(super().ack(message))

    async def on_stop(self) -> None:
        if not self._thread.thread_loop.is_closed():
            await self._thread.call_soon(self._thread.end_fetches())
        await self._hand_over(TP(lanes.topic, partition) for lanes in self._lanes for partition in lanes.held())
        await super().on_stop()

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        did = await super().force_commit(topics, start_new_transaction=start_new_transaction)
        return await self._commit_lanes([lanes.committable() for lanes in self._lanes]) or bool(did)

    async def _hand_over(self, tps: Iterable[TP]) -> None:
        tps = set(tps)
        revoked = [lanes.revoke(of_topic(lanes.topic, tps)) for lanes in self._lanes]
        await self._commit_lanes(await asyncio.gather(*revoked))

    async def _commit_lanes(self, offsets: Sequence[Mapping[int, int]]) -> bool:
        """Commit the offsets by partition of each topic in lanes."""
        due = {
            tp: offset
            for lanes, of in zip(self._lanes, offsets, strict=True)
            for partition, offset in of.items()
            if (tp := TP(lanes.topic, partition)) and self._committed_offset[tp] != offset
        }
        # The thread's loop is closed after a crash of the thread: what cannot be committed comes again.
        if not due or self._thread.thread_loop.is_closed() or not await self._commit(due):
            return False
        self._committed_offset.update(due)
        return True


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


class PacedProducer(driver.Producer):
    """Faust's producer, which rests while no broker answers, and does not hold up a rebalance or the end meanwhile."""

    async def flush(self) -> None:
        # Whoever needs to know that something was written waits for that alone.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await super().flush()

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        return paced(super()._new_producer(transactional_id))


class BatchTransport(driver.Transport):
    """The transport of an app: `app.transport = BatchTransport(...)`.

    `lanes` are those of each batch topic; `fetch_wait_ms` is how long the brokers may hold back a fetch that finds
    nothing; `lost` takes note of records that were deleted before they were read.
    """

    Consumer = BatchConsumer
    Producer = PacedProducer

    def __init__(
        self, url: list[URL], app: AppT, lanes: Sequence[Lanes], fetch_wait_ms: int, *, lost: Lost = report
    ) -> None:
        super().__init__(url, app)
        self.lanes = lanes
        self.fetch_wait_ms = fetch_wait_ms
        self.lost = lost
