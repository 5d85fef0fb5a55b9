"""Reading the training log: the messages of a topic, each offset once, oldest first.

    log = LogReader("s3://bucket/log")
    reading = log.read(EVENTS.name, Event, days=Days.newest(7, today))
    for event in reading: ...
    reading.ranges          # what was read, by partition

**The join of feedback with its list.** A list is on `ouzel.feedback` with its first reaction, or, without one, when its
attribution ends: with the window (OUZEL_ATTRIBUTION_WINDOW_MS) or with a newer list. Later reactions to it come within
the window. So everything about a list is logged within the window after the list was published, plus the time that
workers were behind.

**Late feedback** is a row under the day on which it was recorded; files of earlier days never change because of it. A
reader of the lists of some days therefore reads the feedback of `days.with_window(window_ms)`: these days, and the
following days that the window reaches. Feedback that comes later than that (a worker was down longer) belongs to no
list that the reader has and is left out.

Files that disappear while they are read were merged or expired: the reader lists the files again and continues at the
same offset.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from heapq import merge
from typing import Generic, Self, TypeVar

import msgspec
import pyarrow as pa

from streams.errors import LogFailed
from streams.training_log.files import Files
from streams.training_log.log_files import LogFile, Part, Range, joined, select
from streams.training_log.tables import Row, rows_of

M = TypeVar("M", bound=msgspec.Struct)

DAY_MS = 86_400_000

LISTINGS = 20
"""How often the files of a partition are listed again because one disappeared."""

MAX_IDS = 1_000_000
"""Ids of messages remembered to drop repeats, about 100 MB at the most; the oldest are forgotten first."""


@dataclass(frozen=True)
class Days:
    """The days from `first` to `last`, in UTC, both included."""

    first: date = date.min
    last: date = date.max

    @classmethod
    def newest(cls, days: int, today: date) -> Self:
        """The last `days` days, today included."""
        return cls(today - timedelta(days=days - 1), today)

    def with_window(self, window_ms: int) -> Self:
        """These days and the following ones in which feedback on their lists may be recorded."""
        if self.last > date.max - timedelta(days=1 + window_ms // DAY_MS):
            return self
        return type(self)(self.first, self.last + timedelta(days=-(-window_ms // DAY_MS)))

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


ALWAYS = Days()


class LogReader:
    """The training log under a root, for reading. Others may write, merge and erase meanwhile."""

    def __init__(self, root: str) -> None:
        """Raises `BadSetting` where the root is no place for a log."""
        self._files = Files(root)

    def files(self, topic: str, days: Days = ALWAYS) -> list[LogFile]:
        """The files of a topic. Raises `LogFailed`."""
        try:
            return [each.file for each in self._files.of_topic(topic) if each.file.day in days]
        except OSError as error:
            raise _failed(error) from None

    def read(
        self,
        topic: str,
        message: type[M],
        *,
        days: Days = ALWAYS,
        after: Mapping[int, int] | None = None,
        repeats: bool = False,
    ) -> "Reading[M]":
        """The messages of `topic` that were logged in `days`; of each partition, from the offset `after` on.

        A message whose id was just read is dropped: producers send events again, and workers publish feedback again
        after a crash. `repeats` keeps them.
        """
        return Reading(self, self._files, topic, message, days, after or {}, repeats)


class Reading(Generic[M]):
    """Messages in the order of their records' times; those of a partition in the order of their offsets.

    Iterable once. `ranges` says what was read so far; after the end, everything.
    """

    def __init__(  # noqa: PLR0917 - made by `LogReader.read` alone
        self,
        log: LogReader,
        files: Files,
        topic: str,
        message: type[M],
        days: Days,
        after: Mapping[int, int],
        repeats: bool,
    ) -> None:
        self.repeats = 0
        """Messages dropped as repeats."""
        self._log = log
        self._files = files
        self._topic = topic
        self._message = message
        self._days = days
        self._after = dict(after)
        self._keep_repeats = repeats
        self._read: list[Range] = []

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The records that were read, in ascending order, adjacent ranges as one."""
        return joined(self._read)

    def __iter__(self) -> Iterator[M]:
        return (row.message for row in self.rows())

    def rows(self) -> Iterator[Row[M]]:
        """The messages with their places. Raises `LogFailed` and `NewerLog`."""
        partitions = sorted({file.partition for file in self._log.files(self._topic, self._days)})
        in_time = merge(*(self._timed(partition) for partition in partitions), key=lambda timed: timed[0])
        rows = (row for _, row in in_time)
        return rows if self._keep_repeats else self._distinct(rows)

    def _timed(self, partition: int) -> Iterator[tuple[int, Row[M]]]:
        """The rows of a partition with times that never go back, for merging with others."""
        newest = 0
        for row in self._of(partition):
            newest = max(newest, row.logged)
            yield newest, row

    def _of(self, partition: int) -> Iterator[Row[M]]:
        begin = self._after.get(partition, 0)
        for _ in range(LISTINGS):
            files = (file for file in self._log.files(self._topic, self._days) if file.partition == partition)
            left = [file for file in files if file.behind > begin]
            start = begin
            try:
                for part in select(left):
                    start = begin = max(part.begin, begin)
                    for batch in self._files.batches(Part(part.file, begin)):
                        for row in rows_of(self._message, batch):
                            yield row
                            begin = row.offset + 1
                    begin = part.file.behind
                    self._note(partition, start, begin)
            except FileNotFoundError:
                self._note(partition, start, begin)
                continue
            except (OSError, pa.ArrowException) as error:
                raise _failed(error) from None
            return
        raise LogFailed(
            f"files of {self._topic} partition {partition} disappeared {LISTINGS} times while they were read: check "
            "what else deletes files of the training log."
        )

    def _note(self, partition: int, first: int, behind: int) -> None:
        if behind > first:
            self._read.append(Range(self._topic, partition, first, behind))

    def _distinct(self, rows: Iterable[Row[M]]) -> Iterator[Row[M]]:
        known: dict[str, None] = {}
        for row in rows:
            name: str = row.message.id  # type: ignore[attr-defined]  # every logged message has one
            if name in known:
                self.repeats += 1
                continue
            known[name] = None
            if len(known) > MAX_IDS:
                del known[next(iter(known))]
            yield row


def _failed(error: Exception) -> LogFailed:
    return LogFailed(
        f"the training log cannot be read ({type(error).__name__}): check OUZEL_TRAINING_LOG, the rights on it, and "
        "the access to the object store."
    )
