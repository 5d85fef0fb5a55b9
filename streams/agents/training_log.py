"""`ouzel log`: writes `ouzel.events` and `ouzel.feedback` to the training log, beside the workers.

A plain consumer in a separate group, so it never delays a list. The group only shares out the partitions, among any
number of processes; where to continue follows from the names of the files (`streams.training_log.log_files`). Offsets
are committed after each flush for tools that show a group's lag, and never read.

Erasure orders are read from `ouzel.privacy-receipts`, from its beginning at every start and before the first row is
logged: rows that are read again after a crash are checked against all of them, and so are the files.

All work on partitions happens under one lock, for which a rebalance waits: at most one flush. Fetching is outside of
it, since aiokafka's fetch waits for a rebalance; records that were fetched across one are fetched again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from streams.agents.erasure_receipts import ErasureReceipts
from streams.agents.log_files import FILE_ERRORS, OpenLogs, at_files, failed
from streams.clock import SYSTEM, Clock
from streams.errors import CannotRead, StreamsError
from streams.health.failures import describe
from streams.kafka.connection import client_options, paced
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import partitions_of
from streams.log_limit import RateLimitedLog
from streams.privacy.pseudonyms import alias_with
from streams.retry import Pauses
from streams.settings import Settings
from streams.training_log.erasures import Erasures
from streams.training_log.files import Files
from streams.training_log.intake import Intake
from streams.training_log.log_files import LOGGED
from streams.training_log.metrics import LogMetrics
from streams.training_log.partition_log import PartitionLog, Rules

log = logging.getLogger(__name__)

FETCHED_RECORDS = 2_000
"""Records taken from the consumer at once."""

WAIT_MS = 200
"""Maximum wait for records while the lock is held."""

HOLDS_SECONDS = 10.0
"""Maximum time to find the last logged record where the broker's end of a partition is before it."""

UNFINISHED_MS = 3_600_000
"""Age at which an unfinished file is certainly of a process that died."""

METADATA_MS = 30_000
"""Maximum time until added partitions are found."""

PAUSES = 1.0, 30.0
"""First and longest pause, in seconds, after brokers failed."""


class TrainingLogger(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Logs the partitions that the group assigns (`follow`), or everything that exists now (`once`)."""

    def __init__(self, settings: Settings, *, metrics: LogMetrics | None = None, clock: Clock = SYSTEM) -> None:
        """Raises `BadSetting`."""
        self._kafka = settings.kafka
        self._settings = settings.training_log
        self.metrics = metrics or LogMetrics()
        self._clock = clock
        self._files = Files(self._settings.root)
        self._intake = Intake(alias_with(settings.privacy.pseudonym_key.reveal()), settings.folding.oldest_event_ms)
        self._keyed = bool(settings.privacy.pseudonym_key)
        self._erasures = Erasures()
        self._rules = Rules(self._settings.rows, self._settings.flush_s, self._settings.days)
        self._open = OpenLogs(self._settings, self.metrics, clock)
        self._lock = asyncio.Lock()
        self._assignment = 0
        """Counts the rebalances."""
        self._unopened: tuple[TopicPartition, ...] = ()
        """Assigned partitions that could not be opened yet."""
        self._lines = RateLimitedLog(log, clock.monotonic)
        self._reading = Pauses(*PAUSES)
        self._refused: Exception | None = None
        self._consumer: Any = None
        self._receipts: Any = None

    async def follow(self, stop: asyncio.Event) -> None:
        """Log until `stop` is set; then write what is in memory.

        Brokers and files that fail are retried. Raises `TopicRecreated`, and `LogFailed` if the last rows could not be
        written: the next process reads them again.
        """
        group = self._settings.group or f"{self._kafka.app_id}-training-log"
        kafka = self._kafka
        try:
            await self._begin(
                group_id=group,
                session_timeout_ms=int(kafka.session_timeout_s * 1000),
                heartbeat_interval_ms=int(kafka.heartbeat_s * 1000),
                rebalance_timeout_ms=int(kafka.rebalance_timeout_s * 1000),
            )
            self._consumer.subscribe(list(LOGGED), listener=self)
            while not stop.is_set():
                await self._turn()
            async with self._lock:
                await self._open.finish(tidy=False)
                await self._commit()
        finally:
            await self._end()

    async def once(self, progress: Callable[[], None] = lambda: None) -> int:
        """Log everything up to the present ends of the topics, without joining the group; how many rows it wrote.

        Calls `progress` whenever brokers or files answered. Raises `TopicRecreated` and `LogFailed`, and
        `TopicAuthorizationFailedError` if a topic may not be read.
        """
        try:
            await self._begin(group_id=None)
            partitions = [tp for topic in LOGGED for tp in await partitions_of(self._consumer, topic)]
            self._consumer.assign(partitions)
            ends = await self._consumer.end_offsets(partitions)
            await self._open_partitions(partitions)
            over = False
            while True:
                if await self._turn(refuse=TopicAuthorizationFailedError):
                    progress()
                # One more turn behind the ends: some brokers state them a batch too low.
                if over:
                    break
                over = all([await self._consumer.position(tp) >= end for tp, end in ends.items()])
            async with self._lock:
                await self._open.finish(tidy=True)
        except FILE_ERRORS as error:
            raise failed(error) from error
        finally:
            await self._end()
        return self._open.rows

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Write the rows of partitions that may go to another process, which then continues behind them."""
        async with self._lock:
            self._assignment += 1
            await self._open.hand_over(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        async with self._lock:
            self._assignment += 1
            self._open.logs.clear()
            self.metrics.lag.clear()
            self._unopened = tuple(assigned)
            await self._open_assigned()

    async def _open_assigned(self) -> None:
        """Open the assigned partitions; brokers and files that fail are tried again in the next turn."""
        try:
            await self._open_partitions(self._unopened)
        except FILE_ERRORS as error:
            self._open.say_failed(error)
        except (KafkaError, CannotRead) as error:
            why = "; ".join(describe(error))
            self._lines.error(f"open: {why}", f"Partitions cannot be opened for the training log ({why}); retrying")
        except Exception as error:  # in a rebalance, aiokafka would log it and continue
            self._refused = error
        else:
            self._unopened = ()
            log.info("Logging %d partitions", len(self._open.logs))

    async def _begin(self, **options: Any) -> None:
        unfinished_before = self._clock.now_ms() - UNFINISHED_MS
        try:
            await at_files(self._files.prepare)
            for topic in LOGGED:
                await at_files(partial(self._files.clear_unfinished, topic, unfinished_before))
        except FILE_ERRORS as error:
            raise failed(error) from error
        names, keyed = self._intake.names, self._keyed
        self._receipts = ErasureReceipts(
            self._reader(group_id=None), self._erasures, self.metrics, names=names, keyed=keyed
        )
        await self._receipts.start()
        self._consumer = self._reader(**options)
        await self._consumer.start()

    def _reader(self, **options: Any) -> Any:
        kafka = self._kafka
        return paced(
            Reader(
                **{**client_options(kafka), "client_id": f"{kafka.app_id}-training-log"},
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=min(kafka.fetch_wait_ms, WAIT_MS),
                metadata_max_age_ms=METADATA_MS,
                max_partition_fetch_bytes=kafka.fetch_max_mb << 20,
                **options,
            )
        )

    async def _end(self) -> None:
        for each in (self._consumer, self._receipts):
            if each is not None:
                await each.stop()

    async def _open_partitions(self, partitions: Iterable[TopicPartition]) -> None:
        tps = list(partitions)
        firsts, ends = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
        for tp in tps:
            opened = PartitionLog(
                tp.topic, tp.partition, files=self._files, intake=self._intake, erasures=self._erasures,
                rules=self._rules, metrics=self.metrics, clock=self._clock,
            )  # fmt: skip
            logged, end = await at_files(opened.logged), ends[tp]
            if end < logged and await self._holds(tp, logged - 1):
                end = logged  # some brokers state the end a batch too low
            at = await at_files(partial(opened.open, firsts[tp], end))
            self._open.logs[tp] = opened
            self._consumer.seek(tp, at)
        self._open.tidy_soon()

    async def _holds(self, tp: TopicPartition, offset: int) -> bool:
        """Whether the partition has a record at `offset` or behind it."""
        deadline = self._clock.monotonic() + HOLDS_SECONDS
        while self._clock.monotonic() < deadline:
            self._consumer.seek(tp, offset)  # each time: the other fetch may have taken the record
            records = (await self._consumer.getmany(tp, timeout_ms=1_000, max_records=1)).get(tp)
            if records:
                return bool(records[0].offset >= offset)
        return False

    async def _turn(self, *, refuse: type[KafkaError] | None = None) -> bool:
        """Take records and receipts, and do what is due with the files; whether there were records. Raises errors of
        type `refuse`; others are logged, and the next turn tries again."""
        batches: Mapping[TopicPartition, list[Any]] = {}
        assignment, pause = self._assignment, 0.0
        try:
            if not self._open.full():
                batches = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=FETCHED_RECORDS)
            if await self._receipts.poll():
                self._open.tidy_soon()
            self._reading.reset()
        except (KafkaError, CannotRead) as error:
            if refuse is not None and isinstance(error, refuse):
                raise
            pause = self._reading.next()
            why = "; ".join(describe(error))
            self._lines.error(why, f"Records cannot be read for the training log ({why}); retrying in {pause:g} s")
        async with self._lock:
            if assignment == self._assignment:
                self._take(batches)
            else:  # the records may be of before or after the rebalance: fetch them again
                for tp, each in self._open.logs.items():
                    self._consumer.seek(tp, each.behind)
            if self._unopened and not self._open.blocked():
                await self._open_assigned()
            if await self._open.write_due():
                await self._commit()
        self._raise_refused()
        if self._open.full():
            pause = max(pause, WAIT_MS / 1000)  # until files can be written again
        if pause:
            await self._clock.sleep(pause)
        return bool(batches)

    def _raise_refused(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _take(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        for tp, records in batches.items():
            if tp in self._open.logs:
                self._open.logs[tp].take(records)
        for tp, each in self._open.logs.items():
            highwater = self._consumer.highwater(tp) if tp in self._consumer.assignment() else None
            if highwater is not None:
                self.metrics.lag.labels(tp.topic, tp.partition).set(max(0, highwater - each.behind))

    async def _commit(self) -> None:
        if self._consumer._group_id is None or not self._open.logs:
            return
        try:
            await self._consumer.commit({tp: each.written for tp, each in self._open.logs.items()})
        except (KafkaError, StreamsError) as error:
            why = "; ".join(describe(error))
            self._lines.warning("commit", f"The group's offsets could not be committed ({why}); they are only shown")
