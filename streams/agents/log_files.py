"""When the files of the training log are written, erased, merged and deleted, and what happens if that fails."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import pyarrow as pa
from aiokafka import TopicPartition

from streams.clock import Clock
from streams.errors import LogFailed
from streams.log_limit import RateLimitedLog
from streams.retry import Pauses
from streams.settings import TrainingLog
from streams.training_log.metrics import LogMetrics
from streams.training_log.partition_log import PartitionLog

log = logging.getLogger(__name__)

TIDY_SECONDS = 30.0
"""Between two searches for files to check, to merge and to delete."""

PAUSES = 1.0, 30.0
"""First and longest pause, in seconds, after files failed."""

FILE_ERRORS = (OSError, pa.ArrowException)

T = TypeVar("T")


class OpenLogs:
    """The logs of the partitions that this process has, by partition. Rows that cannot be written wait in memory."""

    def __init__(self, settings: TrainingLog, metrics: LogMetrics, clock: Clock) -> None:
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.rows = 0
        """Rows written so far."""
        self._most_bytes = settings.buffer_mb << 20
        self._metrics = metrics
        self._clock = clock
        self._lines = RateLimitedLog(log, clock.monotonic)
        self._pauses = Pauses(*PAUSES)
        self._blocked_until = float("-inf")
        self._tidied = float("-inf")

    def full(self) -> bool:
        """Whether no more records may be taken."""
        return sum(each.buffered_bytes for each in self.logs.values()) >= self._most_bytes

    def blocked(self) -> bool:
        """Whether files failed just now."""
        return self._clock.monotonic() < self._blocked_until

    def tidy_soon(self) -> None:
        """Search for files to erase from with the next `write_due`."""
        self._tidied = float("-inf")

    async def write_due(self) -> bool:
        """Do what is due; whether rows were written. Errors are logged, and the work is tried again later."""
        self._metrics.buffered.set(sum(each.buffered_bytes for each in self.logs.values()))
        if self.blocked():
            return False
        due = [each for each in self.logs.values() if each.due()]
        if not due and self.full():
            due = [max(self.logs.values(), key=lambda each: each.buffered_bytes)]
        try:
            if due:
                rows = await self._flush(due)
                log.info("Logged %d rows of %d partitions", rows, len(due))
            if self._clock.monotonic() - self._tidied >= TIDY_SECONDS:
                await self._tidy()
            self._pauses.reset()
        except FILE_ERRORS as error:
            self.say_failed(error)
            return False
        return bool(due)

    async def hand_over(self, partitions: Iterable[TopicPartition]) -> None:
        """Write the rows of these partitions, and forget them; rows that cannot be written are read again."""
        for tp in partitions:
            gone = self.logs.pop(tp, None)
            if gone is not None:
                try:
                    await self._flush([gone])
                except FILE_ERRORS as error:
                    self.say_failed(error)

    async def finish(self, *, tidy: bool) -> None:
        """Write all rows; with `tidy`, do everything else that is due too. Raises `LogFailed`."""
        try:
            await self._flush(self.logs.values())
            if tidy:
                await self._tidy()
        except FILE_ERRORS as error:
            raise failed(error) from error

    def say_failed(self, error: Exception) -> None:
        """Log and count a failure of files, and pause."""
        pause = self._pauses.next()
        self._blocked_until = self._clock.monotonic() + pause
        self._metrics.failures.inc()
        self._lines.error("files", f"{failed(error)} Retrying in {pause:g} s; rows wait in memory")

    async def _flush(self, logs: Iterable[PartitionLog]) -> int:
        rows = sum([await at_files(each.flush) for each in logs])
        self.rows += rows
        return rows

    async def _tidy(self) -> None:
        erased = sum([await at_files(each.erase) for each in self.logs.values()])
        if erased:
            log.info("Removed %d rows for erasure orders", erased)
        for each in self.logs.values():
            await at_files(each.tidy)
        self._tidied = self._clock.monotonic()


async def at_files(work: Callable[[], T]) -> T:
    """Work on files in a thread: heartbeats continue meanwhile."""
    return await asyncio.to_thread(work)


def failed(error: Exception) -> LogFailed:
    """The error for the operator: of an object store's answer only the code, which names no key."""
    answered = re.search(r"AWS Error \w+", str(error))
    told = answered[0] if answered else getattr(error, "strerror", None) or type(error).__name__
    return LogFailed(
        f"The training log cannot be written ({told}): check OUZEL_TRAINING_LOG, the space and the rights there, or "
        "the access to the object store."
    )
