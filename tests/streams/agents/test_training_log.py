"""The shell of `ouzel log`: failing files and brokers delay rows and lose none, and rebalances repeat none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from schemas.codec import encode
from schemas.events import Event
from schemas.privacy import ErasureReceipt
from schemas.topics import EVENTS
from streams.agents.erasure_receipts import ErasureReceipts
from streams.agents.log_files import FILE_ERRORS, PAUSES, TIDY_SECONDS, OpenLogs, failed
from streams.agents.training_log import TrainingLogger
from streams.clock import Clock
from streams.errors import LogFailed, TopicRecreated
from streams.settings import Settings, TrainingLog
from streams.training_log.erasures import Erasures
from streams.training_log.metrics import LogMetrics
from streams.training_log.reading import LogReader
from tests.streams.training_log.world import NOW, Record, record

TP = TopicPartition(EVENTS.name, 0)


class FakeLog:
    """A partition's log with work to do, and files that fail on demand."""

    def __init__(self, size: int = 0, due: bool = False) -> None:
        self.buffered_bytes, self._due = size, due
        self.done: list[str] = []
        self.error: Exception | None = None

    def due(self) -> bool:
        return self._due

    def flush(self) -> int:
        self._work("flush")
        self.buffered_bytes, self._due = 0, False
        return 3

    def erase(self) -> int:
        self._work("erase")
        return 2

    def tidy(self) -> None:
        self._work("tidy")

    def _work(self, name: str) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(name)


class Times:
    """A clock whose pauses pass at once."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.clock = Clock(now_ms=lambda: NOW, monotonic=lambda: self.monotonic, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.monotonic += seconds
        await asyncio.sleep(0)


def opened(times: Times, *logs: FakeLog) -> OpenLogs:
    made = OpenLogs(TrainingLog(buffer_mb=1), LogMetrics(), times.clock)
    made.logs = {TopicPartition(EVENTS.name, at): each for at, each in enumerate(logs)}
    return made


async def test_due_rows_are_written_and_files_tidied_now_and_then() -> None:
    times, due, idle = Times(), FakeLog(due=True), FakeLog()
    logs = opened(times, due, idle)
    assert await logs.write_due()
    assert (due.done, idle.done, logs.rows) == (["flush", "erase", "tidy"], ["erase", "tidy"], 3)
    assert not await logs.write_due()
    assert idle.done == ["erase", "tidy"]
    logs.tidy_soon()
    await logs.write_due()
    times.monotonic += TIDY_SECONDS
    await logs.write_due()
    assert idle.done == ["erase", "tidy"] * 3


async def test_full_memory_writes_the_largest_first() -> None:
    small, large = FakeLog(400_000), FakeLog(800_000)
    logs = opened(Times(), small, large)
    assert logs.full()
    await logs.write_due()
    assert ("flush" in large.done, "flush" in small.done, logs.full()) == (True, False, False)


async def test_failing_files_are_retried_after_a_pause_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    times, log = Times(), FakeLog(2 << 20, due=True)
    log.error = OSError(28, "No space left on device")
    logs = opened(times, log)
    assert not await logs.write_due()
    assert logs.blocked()
    assert logs.full()
    assert "No space left on device" in caplog.text
    assert "check OUZEL_TRAINING_LOG" in caplog.text
    log.error = None
    assert not await logs.write_due()
    times.monotonic += PAUSES[0]
    assert await logs.write_due()
    assert not logs.full()
    assert logs._metrics.registry.get_sample_value("ouzel_log_failures_total") == 1


async def test_rows_that_cannot_be_handed_over_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    log, other = FakeLog(5, due=True), FakeLog(5, due=True)
    log.error = OSError("gone")
    logs = opened(Times(), log, other)
    await logs.hand_over([*logs.logs, TopicPartition("ouzel.feedback", 7)])
    assert not logs.logs
    assert other.done == ["flush"]
    assert "cannot be written" in caplog.text


async def test_last_rows_that_cannot_be_written_are_an_error() -> None:
    log = FakeLog(5)
    log.error = PermissionError(13, "Permission denied")
    with pytest.raises(LogFailed, match="Permission denied"):
        await opened(Times(), log).finish(tidy=False)


def test_error_of_a_store_is_its_code_alone() -> None:
    told = str(failed(OSError("When writing 'bucket/AKIAKEY': AWS Error ACCESS_DENIED during PutObject: AKIAKEY")))
    assert "(AWS Error ACCESS_DENIED)" in told
    assert "AKIAKEY" not in told
    assert isinstance(OSError(), FILE_ERRORS)


class FakeConsumer:
    """A topic of one partition with a position, as aiokafka's consumer has it."""

    _group_id = None

    def __init__(self, records: list[Record], end: int | None = None) -> None:
        self.records = records
        self.end = len(records) if end is None else end
        self.at = 0
        self.before_returning: Any = None
        self.errors: list[Exception] = []

    async def getmany(self, *_: Any, timeout_ms: int, max_records: int = 100) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop()
        found = [each for each in self.records if each.offset >= self.at][: min(max_records, 5)]
        if found:
            self.at = found[-1].offset + 1
        if self.before_returning is not None:
            await self.before_returning()
            self.before_returning = None
        return {TP: found} if found else {}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.errors:
            raise self.errors.pop()
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.end)

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    def assignment(self) -> set[TopicPartition]:
        return {TP}

    def highwater(self, _: TopicPartition) -> int:
        return self.end


class NoReceipts:
    async def poll(self) -> bool:
        return False


def logger(folder: Path, consumer: FakeConsumer, times: Times) -> TrainingLogger:
    settings = Settings.make(training_log=str(folder), training_log_flush_s=3_600)
    made = TrainingLogger(settings, clock=times.clock)
    made._consumer, made._receipts = consumer, NoReceipts()
    return made


async def turned(logger: TrainingLogger, turns: int = 12) -> None:
    for _ in range(turns):
        await logger._turn()


def offsets(folder: Path) -> list[int]:
    return [row.offset for row in LogReader(str(folder)).read(EVENTS.name, Event).rows()]


async def test_records_fetched_across_a_rebalance_are_fetched_again(tmp_path: Path) -> None:
    consumer, times = FakeConsumer([record(at) for at in range(30)]), Times()
    log = logger(tmp_path, consumer, times)
    await log.on_partitions_assigned([TP])
    await turned(log, 2)

    async def rebalance() -> None:
        await log.on_partitions_revoked([TP])
        await log.on_partitions_assigned([TP])

    for _ in range(2):
        consumer.before_returning = rebalance
        await turned(log, 2)
    await turned(log)
    await log.on_partitions_revoked([TP])
    assert offsets(tmp_path) == list(range(30))
    assert log.metrics.registry.get_sample_value("ouzel_log_rows_total", {"topic": EVENTS.name}) == 30


async def test_failing_brokers_are_retried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    consumer, times = FakeConsumer([record(at) for at in range(10)]), Times()
    log = logger(tmp_path, consumer, times)
    consumer.errors = [KafkaConnectionError()]
    await log.on_partitions_assigned([TP])
    assert "cannot be opened" in caplog.text
    consumer.errors = [KafkaConnectionError()] * 2
    await turned(log)
    assert "cannot be read" in caplog.text
    await log.on_partitions_revoked([TP])
    assert offsets(tmp_path) == list(range(10))


async def test_end_that_a_broker_states_too_low_is_looked_up(tmp_path: Path) -> None:
    consumer, times = FakeConsumer([record(at) for at in range(20)]), Times()
    first = logger(tmp_path, consumer, times)
    await first.on_partitions_assigned([TP])
    await turned(first)
    await first.on_partitions_revoked([TP])
    consumer.end = 12
    second = logger(tmp_path, consumer, times)
    await second.on_partitions_assigned([TP])
    await turned(second, 1)
    assert consumer.at == 20

    recreated = logger(tmp_path, FakeConsumer([record(at) for at in range(12)]), times)
    recreated._consumer.getmany = from_the_start(recreated._consumer)
    await recreated.on_partitions_assigned([TP])
    with pytest.raises(TopicRecreated):
        await recreated._turn()


def from_the_start(consumer: FakeConsumer) -> Any:
    """What the broker of a recreated topic does: an offset out of range is reset to the first."""
    fetch = consumer.getmany

    async def getmany(*tps: Any, timeout_ms: int, max_records: int = 100) -> Any:
        if consumer.at > consumer.end:
            consumer.at = 0
        return await fetch(*tps, timeout_ms=timeout_ms, max_records=max_records)

    return getmany


async def test_receipts_become_orders_and_a_missing_key_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    receipts = [
        ErasureReceipt(order="o-1", user="user-1", ts=5, cleared=(), partition=0, offset=3, person="alias"),
        ErasureReceipt(order="o-2", user="bob", ts=6, cleared=()),
    ]
    records = [Record(at, b"", encode(each)) for at, each in enumerate(receipts)] + [Record(2, b"", b"?")]
    erasures, metrics = Erasures(), LogMetrics()
    follower = ErasureReceipts(FakeConsumer(records), erasures, metrics, lambda user: frozenset({user}), False)
    assert await follower.poll()
    assert not await follower.poll()
    assert sorted(erasures.names(0)) == ["alias", "bob", "user-1"]
    assert "OUZEL_PSEUDONYM_KEY is not set here" in caplog.text
    assert "The receipt at offset 2 cannot be read" in caplog.text
    assert "user-1" not in caplog.text
    assert metrics.registry.get_sample_value("ouzel_log_erasure_orders") == 2
