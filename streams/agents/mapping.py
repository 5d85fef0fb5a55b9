"""`ouzel mapping run`: turns the records of other topics into events and items, and lists into JSON for others.

It reads the topics of a mapping file beside the workers, in a separate consumer group, and writes `ouzel.events` and
`ouzel.items`, keyed by user and item: so the events of a user are in one partition however the other topic is keyed.
Records that do not fit go to `ouzel.dead-letters` with their bytes.

Records are sent in groups (`streams.mapping.groups`). A group is sent, acknowledged and committed before the next one:
after a crash at most one is sent again, and the fold drops its events by their ids. If brokers or the schema registry
fail, the records since the last acknowledged group are read again until it succeeds; nothing is skipped.

All work on records happens under one lock, for which a rebalance waits. Fetching is outside of it; records that were
fetched across a rebalance are fetched again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError

from schemas.codec import encode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.limits import MAX_DEAD_LETTER_BYTES
from schemas.topics import DEAD_LETTERS, RECOMMENDATIONS
from streams.agents.mapping_metrics import MappingMetrics
from streams.clock import SYSTEM, Clock
from streams.dead_letters import dead_letter
from streams.errors import CannotRead, RegistryFailed
from streams.health.board import SURVEY, Board
from streams.health.conditions import CAUSES, READ, TOPIC_DENIED, UNKNOWN_TOPIC, WRITE, Condition, Survey, assess
from streams.health.failures import cause_of, describe
from streams.health.losses import report
from streams.health.survey import Surveyor
from streams.kafka.connection import client_options, paced, user_of
from streams.kafka.fetcher import Reader
from streams.kafka.publisher import Output, Publisher
from streams.log_limit import RateLimitedLog
from streams.mapping.formats import SchemaMissing
from streams.mapping.groups import Group, Place, Result
from streams.mapping.mapping import Mapping as TopicMapping
from streams.mapping.outcomes import Mapped
from streams.registry.client import Schemas
from streams.rejections import Rejections
from streams.retry import Pauses
from streams.settings import Settings
from streams.unreadable import Unreadable

log = logging.getLogger(__name__)

FETCHED_RECORDS = 2_000
"""Records taken from the consumer at once."""

WAIT_MS = 200
"""Maximum wait for records."""

METADATA_MS = 30_000
"""Maximum time until added partitions are found."""

PAUSES = 0.5, 5.0
"""First and longest pause, in seconds, after brokers or the registry failed."""

LASTING = 3
"""Failed turns in a row that are a condition (`streams.health`)."""

STOP_SECONDS, END_SECONDS = 10.0, 3.0
"""How long the group in flight has when the process is told to stop, and each client then has to end."""

FAILURES = (KafkaError, CannotRead, RegistryFailed)


class Mapper(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Maps the partitions that the group assigns, until `follow` is told to stop."""

    def __init__(
        self,
        settings: Settings,
        mapping: TopicMapping,
        schemas: Schemas,
        *,
        metrics: MappingMetrics | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.metrics = metrics or MappingMetrics(mapping.topics)
        self.unserved: list[str] = ["Waiting for the brokers."]
        """What cannot be mapped now, one sentence each."""
        self._settings = settings
        self._mapping = mapping
        self._schemas = schemas
        self._clock = clock
        self._group = settings.mapping.group or f"{settings.kafka.app_id}-mapping"
        self._board = Board(clock.monotonic)
        self._rejections = Rejections(self.metrics)
        self._lines = RateLimitedLog(log, clock.monotonic)
        self._pauses = Pauses(*PAUSES)
        self._failures = 0
        """Failed turns in a row."""
        self._lock = asyncio.Lock()
        self._assignment = 0
        """Counts the rebalances."""
        self._joined = False
        self._unchecked: set[TopicPartition] = set()
        """Assigned partitions that may have lost records, or whose topic may have been recreated."""
        self._ids: dict[str, str] = {}
        """The ids of the topics, where the brokers have such. Commits carry them."""
        self._uncommitted: dict[TopicPartition, int] = {}
        self._present: tuple[str, ...] = ()
        self._subscribed: tuple[str, ...] = ()
        self._consumer: Any = None
        self._producer: Any = None
        self._publish = Publisher(lambda: self._producer, lambda topic: self.metrics.oversized.labels(topic).inc())
        self._surveyor = Surveyor(
            lambda: client_options(settings.kafka),
            self._needs(),
            self._group,
            clock=clock,
            tell=self._surveyed,
            unreached=lambda conditions: self._board.found("reach", conditions),
        )

    async def follow(self, stop: asyncio.Event) -> None:
        """Map until `stop` is set. Brokers and a registry that fail are retried."""
        kafka = self._settings.kafka
        options = {**client_options(kafka), "client_id": self._group}
        self._producer = paced(
            AIOKafkaProducer(**options, acks="all", linger_ms=5, max_request_size=MAX_DEAD_LETTER_BYTES + 8_192)
        )
        self._consumer = paced(
            Reader(
                **options,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=int(kafka.session_timeout_s * 1000),
                heartbeat_interval_ms=int(kafka.heartbeat_s * 1000),
                rebalance_timeout_ms=int(kafka.rebalance_timeout_s * 1000),
                fetch_max_wait_ms=min(kafka.fetch_wait_ms, WAIT_MS),
                metadata_max_age_ms=METADATA_MS,
                max_partition_fetch_bytes=kafka.fetch_max_mb << 20,
            )
        )
        work = (self._run(stop), self._surveyor.run(), self._rejections.run(self._clock))
        tasks = [asyncio.create_task(each) for each in work]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(tasks[:1], timeout=STOP_SECONDS if stop.is_set() else 0)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._rejections.flush(all_of_it=True)
            for each in (self._consumer.stop, self._producer.stop, self._schemas.close):
                with contextlib.suppress(KafkaError, TimeoutError):
                    async with asyncio.timeout(END_SECONDS):
                        await each()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _run(self, stop: asyncio.Event) -> None:
        await self._producer.start()
        await self._consumer.start()
        while not stop.is_set():
            pause = await self._turn()
            if pause:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        async with self._lock:
            self._assignment += 1
            with contextlib.suppress(KafkaError):
                await self._commit()
            self._uncommitted.clear()
            self._board.found("turn", ())

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        async with self._lock:
            self._assignment += 1
            self._unchecked = set(assigned)
            self._joined = True
            self.metrics.lag.clear()
            log.info("Mapping %d partitions", len(self._unchecked))

    def _needs(self) -> dict[str, frozenset[str]]:
        sources = dict.fromkeys(self._mapping.topics, frozenset({READ}))
        written = (*self._mapping.targets, *self._mapping.lists, DEAD_LETTERS.name)
        return {**sources, **dict.fromkeys(written, frozenset({WRITE}))}

    def _surveyed(self, survey: Survey) -> None:
        """Report what is missing. Topics are subscribed to only once they exist: asking for them could create them."""
        found = assess(survey, self._needs(), self._group, user_of(self._settings.kafka))
        others = {*self._mapping.topics, *self._mapping.lists} - {RECOMMENDATIONS.name}
        self._board.found(SURVEY, [_of_others(each, others) for each in found])
        for name in self._mapping.topics:
            known, now = self._ids.get(name, ""), survey.id_of(name).hex()
            if known and now and known != now:
                self._unchecked |= {tp for tp in self._consumer.assignment() if tp.topic == name}
            self._ids[name] = now or known
        away = {name for name, facts in survey.topics.items() if facts.error in (UNKNOWN_TOPIC, TOPIC_DENIED)}
        if away.intersection(self._mapping.lists):
            away.add(RECOMMENDATIONS.name)
        self._present = tuple(name for name in self._mapping.topics if name in survey.topics and name not in away)

    async def _turn(self) -> float:
        """Take records, and map and send them; the seconds to wait before the next turn. A failure is reported, and the
        next turn repeats the work."""
        self._schemas.forget_unknown()
        if self._present != self._subscribed and self._present:
            self._consumer.subscribe(list(self._present), listener=self)
            self._subscribed = self._present
        assignment = self._assignment
        batches: Mapping[TopicPartition, list[Any]] = {}
        failed: Exception | None = None
        if self._subscribed:
            try:
                batches = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=FETCHED_RECORDS)
            except FAILURES as error:
                failed = error
            async with self._lock:
                if assignment != self._assignment:
                    batches = await self._again(batches)
                if failed is None:
                    failed = await self._work(batches)
        pause = self._tell(failed, worked=bool(batches))
        return pause if self._subscribed else WAIT_MS / 1000

    async def _again(self, batches: Mapping[TopicPartition, list[Any]]) -> Mapping[TopicPartition, list[Any]]:
        """Have records that were fetched across a rebalance fetched again: they may be of before it, and mapped by
        another process meanwhile. Returns no records."""
        for tp, records in batches.items():
            if tp in self._consumer.assignment():
                committed = None
                with contextlib.suppress(KafkaError):
                    committed = await self._consumer.committed(tp)
                self._consumer.seek(tp, max(records[0].offset, committed or 0))
        return {}

    async def _work(self, batches: Mapping[TopicPartition, list[Any]]) -> Exception | None:
        """Map and send the records; the failure, if any. What was not sent is fetched again then."""
        behind = {tp: records[0].offset for tp, records in batches.items() if records}
        failed: Exception | None = None
        try:
            await self._commit()
            sought = await self._check_assigned()
            behind = {tp: offset for tp, offset in behind.items() if tp not in sought}
            failed = await self._send_mapped({tp: batches[tp] for tp in behind}, behind)
        except FAILURES as error:
            failed = error
        if failed is not None:
            for tp, offset in behind.items():
                with contextlib.suppress(IllegalStateError):  # it is no longer assigned
                    self._consumer.seek(tp, offset)
        for tp, offset in behind.items():
            highwater = self._consumer.highwater(tp) if tp in self._consumer.assignment() else None
            if highwater is not None:
                self.metrics.lag.labels(tp.topic, tp.partition).set(max(0, highwater - offset))
        return failed

    async def _send_mapped(
        self, batches: Mapping[TopicPartition, list[Any]], behind: dict[TopicPartition, int]
    ) -> Exception | None:
        """Send the batches in groups; `behind` gets the next offset of each partition. Returns the failure of the
        registry, for which single partitions wait; raises those of brokers."""
        group, failed = Group(), None
        for tp, records in batches.items():
            place = Place(tp.topic, tp.partition)
            for record in records:
                try:
                    results = await results_of(record, self._mapping, self._schemas, self._clock.now_ms())
                except RegistryFailed as error:
                    failed = error
                    break
                if not group.has_room(results):
                    await self._send(group, behind)
                    group = Group()
                group.add(place, record.offset, results)
        await self._send(group, behind)
        return failed

    async def _send(self, group: Group, behind: dict[TopicPartition, int]) -> None:
        if not group:
            return
        await self._publish([_output(each) for each in group.results])
        self._uncommitted = {TopicPartition(*place): offset for place, offset in group.behind.items()}
        behind.update(self._uncommitted)
        self._count(group)
        await self._commit()

    async def _commit(self) -> None:
        """Commit what was sent. Nothing more is sent before."""
        if self._uncommitted:
            ids = self._ids
            await self._consumer.commit({tp: (at, ids.get(tp.topic, "")) for tp, at in self._uncommitted.items()})
            self._uncommitted = {}

    def _count(self, group: Group) -> None:
        for (topic, outcome), count in group.outcomes.items():
            self.metrics.mapped.labels(topic, outcome).inc(count)
        for (topic, reason), count in group.skips.items():
            self.metrics.skipped.labels(topic, reason).inc(count)
        self._rejections.note(group.letters)

    async def _check_assigned(self) -> set[TopicPartition]:
        """Compare what the group committed with the topics: count the records that retention deleted before they were
        read, and go to the beginning of a topic that was recreated since. Returns the partitions that were sought."""
        checking, sought = self._unchecked & self._consumer.assignment(), set()
        if checking:
            firsts = await self._consumer.beginning_offsets(list(checking))
            for tp, held in (await self._consumer._coordinator.fetch_committed_offsets(list(checking))).items():
                known, now = held.metadata, self._ids.get(tp.topic, "")
                if held.offset < 0:
                    continue
                if known and now and known != now:
                    log.warning("%s was recreated: partition %d is read from its beginning", tp.topic, tp.partition)
                    self._consumer.seek(tp, firsts[tp])
                    sought.add(tp)
                elif held.offset < firsts[tp]:
                    self.metrics.lost.labels(tp.topic).inc(firsts[tp] - held.offset)
                    report(tp.topic, tp.partition, held.offset, firsts[tp] - held.offset)
        self._unchecked = set()
        return sought

    def _tell(self, failed: Exception | None, *, worked: bool) -> float:
        """Report the failure of a turn, if any; the seconds to wait after it. A failure holds until a turn has `worked`
        on records without one."""
        if failed is None and worked:
            self._pauses.reset()
            self._failures = 0
            self._board.found("turn", ())
        elif failed is not None:
            cause, why = cause_of(failed), "; ".join(describe(failed))
            self.metrics.failures.labels(cause).inc()
            self._failures += 1
            if isinstance(failed, RegistryFailed | CannotRead):
                self._board.found("turn", [Condition(cause, "", str(failed))])
            elif self._failures < LASTING:  # a rebalance makes single commits fail
                self._lines.error(why, f"Records cannot be mapped for now ({why}); retrying")
            else:
                text = f"Records cannot be mapped for now ({why}): look at the brokers' log. Retrying"
                self._board.found("turn", [Condition(cause, "", text)])
        unserved = [condition.text for condition in self._board.current()]
        self.unserved = unserved if unserved or self._joined else ["Waiting for the consumer group."]
        self.metrics.unserved.clear()
        for (topic, cause), count in {**{("", cause): 0 for cause in CAUSES}, **self._board.counts()}.items():
            self.metrics.unserved.labels(topic, cause).set(count)
        return 0.0 if failed is None else self._pauses.next()


async def results_of(record: Any, mapping: TopicMapping, schemas: Schemas, now_ms: int) -> list[Result]:
    """What a mapping makes of a record at `now_ms`: of each of its tables an outcome, or a dead letter.

    Raises `RegistryFailed`.
    """
    if isinstance(record, Unreadable):
        return [dead_letter(record.topic, record.partition, record, now_ms, ValueError())]
    results: list[Result] = []
    for function in mapping.topics[record.topic]:
        while True:
            try:
                results.append(function(record, now_ms))
            except SchemaMissing as missing:
                await schemas.fetch(missing.schema)
                continue
            except Exception as error:  # refused; or a bug, and then the record must not block those behind it
                if not isinstance(error, Refused):
                    log.error("A record could not be mapped: %s", "; ".join(describe(error)))
                results.append(dead_letter(record.topic, record.partition, record, now_ms, error))
            break
    return results


def _output(result: Mapped | DeadLetter) -> Output:
    if isinstance(result, DeadLetter):
        return Output(DEAD_LETTERS.name, result.key, encode(result))
    return Output(*result)


def _of_others(condition: Condition, topics: Iterable[str]) -> Condition:
    """A condition of a topic of others, whose remedy is not `ouzel topics create`."""
    if condition.cause != "missing" or condition.topic not in topics:
        return condition
    text = f"The topic {condition.topic} of the mapping file does not exist yet: create it, or correct its name."
    return condition._replace(text=text)
