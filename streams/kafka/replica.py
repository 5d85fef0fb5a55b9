"""A compacted topic replicated by every worker: read from the start, then followed, without a consumer group."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from schemas.errors import Refusal, Refused
from streams.clock import Clock
from streams.dead_letters import Placed
from streams.errors import StreamsError
from streams.kafka.partitions import partitions_of
from streams.log_limit import RateLimitedLog
from streams.retry import Pauses, logged, retry
from streams.turns import Turns

log = logging.getLogger(__name__)

READ_RECORDS = 500
"""Records taken from the consumer at once: some milliseconds."""

PAUSE_SECONDS = 1.0
"""Pause before the topic is looked for again, or followed again after an error."""

Apply = Callable[[int, bytes, bytes | None], None]
"""Apply one record: its partition, key and value (None deletes)."""

Refuse = Callable[[Placed, Exception], None]
"""Called with a record that cannot be used, and why."""


def _reported_elsewhere(record: Placed, error: Exception) -> None:
    pass


class Replica:
    """Follows `topic` and passes every record to `apply`, in order by partition; `run` works until cancelled.

    `caught_up` is set once everything that existed at the start is applied. It is a hint: some brokers state end
    offsets a batch too low. To be sure, write a record and wait for it (`wait_for`), or set `until_quiet`: then it is
    set only after a poll that brought no record, at most half a second later. Records on which `apply` raises, without
    a key or unreadable go to `refuse` and change nothing. `behind` is the offset after the last record read of each
    partition. `restarted` is called each time before the topic is read from its start.
    """

    def __init__(
        self,
        topic: str,
        apply: Apply,
        *,
        consumer: Callable[[], Any],
        clock: Clock,
        turns: Turns | None = None,
        refuse: Refuse = _reported_elsewhere,
        until_quiet: bool = False,
        restarted: Callable[[], None] = lambda: None,
    ) -> None:
        self.topic = topic
        self.caught_up = asyncio.Event()
        self.records = 0
        self.behind: dict[int, int] = {}
        self._until_quiet = until_quiet
        self._restarted = restarted
        self._apply = apply
        self._refuse = refuse
        self._new_consumer = consumer
        self._clock = clock
        self._turns = Turns() if turns is None else turns
        self._lines = RateLimitedLog(log, clock.monotonic)
        self._awaited: dict[bytes, asyncio.Future[None]] = {}
        self._again = False

    async def run(self) -> None:
        while True:  # `_follow` returns when the topic is to be read again
            await retry(
                self._follow,
                pauses=Pauses(PAUSE_SECONDS),
                clock=self._clock,
                failed=logged(self._lines, f"{self.topic} cannot be followed"),
                errors=(KafkaError, StreamsError),
            )

    def again(self) -> None:
        """Read the topic from its start: it was recreated, or partitions were added."""
        self._again = True

    def wait_for(self, key: bytes) -> asyncio.Future[None]:
        """A future that is done once a record with this key is applied from now on."""
        future = self._awaited.setdefault(key, asyncio.get_running_loop().create_future())
        future.add_done_callback(lambda _: self._awaited.pop(key, None))
        return future

    async def _follow(self) -> None:
        consumer = self._new_consumer()
        try:
            await consumer.start()
            while not (tps := await partitions_of(consumer, self.topic)):
                await self._clock.sleep(PAUSE_SECONDS)  # the survey reports that it is missing or may not be read
            consumer.assign(tps)
            began = self._clock.monotonic()
            ends = await consumer.end_offsets(tps)
            await consumer.seek_to_beginning(*tps)
            behind = {tp for tp in tps if await consumer.position(tp) < ends[tp]}
            self._again = False
            self._restarted()
            quiet = not self._until_quiet
            while not self._again:
                if not behind and quiet and not self.caught_up.is_set():
                    self.caught_up.set()
                    seconds = self._clock.monotonic() - began
                    log.info("%s: %d records read in %.2f s", self.topic, self.records, seconds)
                await self._turns.next()
                batches = await consumer.getmany(timeout_ms=500, max_records=READ_RECORDS)
                for records in batches.values():
                    for record in records:
                        if self._turns.over():
                            await self._turns.next()
                        self._take(record)
                quiet = quiet or not batches
                # Not the last record's offset: the records before the end may be markers, or compacted away.
                behind = {tp for tp in behind if await consumer.position(tp) < ends[tp]}
        finally:
            await consumer.stop()

    def _take(self, record: Any) -> None:
        self.behind[record.partition] = record.offset + 1
        if record.key is None:
            missing = Refused(Refusal.KEY_MISMATCH, "the record has no key")
            self._refuse(record, missing)
            return
        self.records += 1
        try:
            self._apply(record.partition, record.key, record.value)
        except Exception as error:
            self._refuse(record, error)
        awaited = self._awaited.get(record.key)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)
