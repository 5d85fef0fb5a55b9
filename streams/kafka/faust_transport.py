"""Faust's aiokafka transport with a batch path: some topics' records, partition by partition, straight to a coroutine.

Faust does what it is good at: the group, the assignment, the consumer thread, timers, agents, web. Its work per record
(about 0.15 ms, and iterations of the event loop, for which lists wait) is skipped for batch topics: their partitions
belong to the group and are assigned like all others, but Faust never fetches them. Each has a *lane*
(`streams.agents.events`, `streams.agents.covisits`), which asks for its next records, as many as there are; while it is
busy, aiokafka prefetches at most one fetch, so a slow lane holds up no other.

Hand-over, in this order. Revoked: open fetches end without records; the lanes finish or drop work in flight; durable
offsets are committed; only then the rebalance continues. Assigned: new lanes start, each from the committed offset,
once its state is recovered. So a fetched record is folded by this worker before the hand-over or not at all, and an
offset is only committed by the worker that holds the partition in the group's current generation.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT
from yarl import URL

from streams.health.failures import describe
from streams.health.losses import Lost, report
from streams.kafka.connection import paced
from streams.kafka.consumer_thread import BatchConsumerThread, TopicSource
from streams.kafka.lanes import Lanes
from streams.kafka.partitions import of_topic

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""Maximum time that a rebalance waits for records in flight."""


class BatchConsumer(driver.Consumer):
    """Faust's consumer, which leaves the batch topics to their lanes."""

    _thread: BatchConsumerThread
    _counted: dict[TP, int]
    """The committed offset for which lost records were reported, by partition: seeks to it repeat."""
    _between = False
    """Whether partitions were revoked and not assigned again yet."""

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
            # Faust's data is missing while a partition is being assigned: that would end the worker.
            with contextlib.suppress(AssertionError, AttributeError):
                super().verify_event_path(now, tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self._hand_over(revoked)
        await super().on_partitions_revoked(revoked)
        self._between = True

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        for tp in assigned:  # late acknowledgements of an earlier assignment do not count
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)
        self._between = False
        await super().on_partitions_assigned(assigned, generation_id)
        if not self.app.should_stop:  # else they are about to move to others
            for lanes in self._lanes:
                lanes.assign(of_topic(lanes.topic, assigned), TopicSource(self._thread, lanes.topic))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        # aiokafka does not move a partition without a committed offset: records fetched during a rebalance, when
        # nothing is delivered, would never be read again.
        committed = await super().seek_to_committed()
        await self._report_losses(committed)
        never = self._others(tp for tp, offset in committed.items() if not offset)
        if never:
            await self._thread.seek_to_beginning(*never)
        return committed

    async def _report_losses(self, committed: Mapping[TP, int]) -> None:
        """Report records that retention deleted before an agent read them."""
        known = {tp for tp in self._others(committed) if committed[tp] and self._counted.get(tp) != committed[tp]}
        if not known:
            return
        try:
            first = await self._thread.call_soon(self._thread.first_offsets(known))
        except KafkaError as error:
            log.warning("It is unknown whether records were lost (%s)", "; ".join(describe(error)))
            return
        for tp in sorted(known):
            lost = first.get(tp, 0) - committed[tp]
            if lost > 0:
                self._counted[tp] = committed[tp]
                cast(BatchTransport, self.transport).lost(tp.topic, tp.partition, committed[tp], lost)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Faust counts the delivered record as part of the gap before it, and so as done.
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def ack(self, message: Any) -> bool:
        # A record taken before a rebalance and finished after it was dropped by its owner and is delivered again: it
        # does not count as done, though the broker would accept the commit during the rebalance. When the worker ends,
        # Faust cancels agents and acknowledges what they had taken, done or not.
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
        # After a crash of the thread its loop is closed: records that cannot be committed are delivered again.
        if not due or self._thread.thread_loop.is_closed() or not await self._commit(due):
            return False
        self._committed_offset.update(due)
        return True


class PacedProducer(driver.Producer):
    """Faust's producer, which pauses while no broker answers, and does not delay a rebalance or the shutdown."""

    async def flush(self) -> None:
        # Code that needs a record to be written waits for that record.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await super().flush()

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        return paced(super()._new_producer(transactional_id))


class BatchTransport(driver.Transport):
    """The transport of an app: `app.transport = BatchTransport(...)`.

    `lanes` are those of each batch topic; `fetch_wait_ms` is how long brokers may hold back an empty fetch; `lost` is
    called with records that were deleted before they were read.
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
