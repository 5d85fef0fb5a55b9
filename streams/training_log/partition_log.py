"""The training log of one partition: rows gathered, written to files, erased, merged and deleted.

Its files' names say where to continue, so nothing is stored beside them. Every step can be repeated: a file is written
whole under the name of its offsets; erasing rewrites a file under its name; merging writes the larger file before it
deletes the smaller ones. Killed in between, the next owner finds the same rows, and `log_files.select` reads each once.

A process that was thought dead may still write a file after another took over the partition. Its rows are selected only
once, but it may not know of an erasure order. Therefore the owner checks each file that it has not written itself, and
each that changed, against all orders.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from streams.clock import Clock
from streams.errors import TopicRecreated
from streams.training_log.buffer import Buffer
from streams.training_log.erased import joined_notes, noted
from streams.training_log.erasures import Erasures
from streams.training_log.files import Files
from streams.training_log.intake import ORDER, Intake
from streams.training_log.log_files import LOGGED, LogFile, Part, Size, Stored, covered, day_of, select, to_merge
from streams.training_log.metrics import LogMetrics
from streams.training_log.tables import Row
from streams.unreadable import Unreadable

MERGED_FILES = 16
"""Files of today that are merged into one."""

FILE_BYTES = 16 << 20
"""The most that files are merged to."""


class Rules(NamedTuple):
    """When rows go to a file, and how many days they stay."""

    rows: int
    seconds: float
    days: int


class PartitionLog:
    """The log of one partition of `topic`. Not thread-safe: one call at a time, from any thread."""

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        files: Files,
        intake: Intake,
        erasures: Erasures,
        rules: Rules,
        metrics: LogMetrics,
        clock: Clock,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.behind = 0
        """The offset of the next record."""
        self.written = 0
        """The offset up to which records are in files."""
        self._files = files
        self._intake = intake
        self._erasures = erasures
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._day = date.min
        self._buffers: list[Buffer] = []
        self._checked: dict[LogFile, tuple[Stored, int]] = {}
        """Each checked file as it was then, and how many orders it was checked against."""

    def logged(self) -> int:
        """The offset up to which the files have records; 0 without files. Raises `OSError`."""
        return covered(each.file for each in self._stored()).get(self.partition, 0)

    def open(self, first: int, end: int) -> int:
        """Find where to continue, between the partition's `first` offset and its `end`.

        Raises `TopicRecreated` if the log has records beyond the end, and `OSError`.
        """
        found = [each.file for each in self._stored()]
        behind = covered(found).get(self.partition)
        if behind is not None and end < behind:
            raise self._recreated(end, behind)
        if behind is not None and first > behind:
            self._metrics.lost.labels(self.topic).inc(first - behind)
        self.behind = self.written = max(first, behind or 0)
        self._day = max((file.day for file in found), default=date.min)
        self._buffers = []
        return self.behind

    def take(self, records: Sequence[Any]) -> None:
        """Gather the next records. Raises `TopicRecreated` if they go back."""
        now, today = self._clock.now_ms(), self._today()
        oldest = today - timedelta(days=self._rules.days)
        for record in records:
            if record.offset < self.behind:
                raise self._recreated(record.offset, self.behind)
            first = max(record.first, self.behind) if isinstance(record, Unreadable) else record.offset
            row = self._intake.row(self.topic, record, now)
            if isinstance(row, str):
                self._metrics.rejected.labels(self.topic, row).inc(0 if row == ORDER else record.offset - first + 1)
                self._open_buffer().skip(first, record.offset)
            else:
                self._take_row(row, today, oldest, len(record.value))
            self.behind = record.offset + 1

    @property
    def buffered_bytes(self) -> int:
        """About the memory that rows without a file take."""
        return sum(each.bytes for each in self._buffers)

    def due(self) -> bool:
        """Whether rows should go to a file now."""
        if not self._buffers:
            return False
        last = self._buffers[-1]
        old = last.behind > last.first and self._clock.monotonic() - last.since >= self._rules.seconds
        return len(self._buffers) > 1 or last.rows >= self._rules.rows or old

    def flush(self) -> int:
        """Write all gathered rows to files; how many rows these were. Raises `OSError`; what is not written stays."""
        rows = 0
        while self._buffers:
            buffer = self._buffers[0]
            if buffer.behind > buffer.first:
                orders = len(self._erasures)
                table = self._without_erased(buffer.table())
                day = self._day if self._day > date.min else self._today()
                size = self._write(buffer.file(day), table, orders)
                self._metrics.rows.labels(self.topic).inc(table.num_rows)
                self._metrics.files.labels(self.topic).inc()
                self._metrics.bytes.labels(self.topic).inc(size)
                rows += table.num_rows
            self.written = buffer.behind
            del self._buffers[0]
        return rows

    def erase(self) -> int:
        """Rewrite the files that have rows of erased users; how many rows went. Raises `OSError`."""
        erased = 0
        if len(self._erasures):
            stored = self._stored()
            for each in stored:
                known, since = self._checked.get(each.file, (each, 0))
                since = since if known == each else 0
                if since < len(self._erasures):
                    erased += self._erase(each, since)
            there = {each.file for each in stored}
            self._checked = {file: checked for file, checked in self._checked.items() if file in there}
        return erased

    def tidy(self) -> None:
        """Delete the files of days that are over, and merge small files. Raises `OSError`."""
        today = self._today()
        oldest = today - timedelta(days=self._rules.days)
        stored = self._stored()
        for each in stored:
            if each.file.day < oldest:
                self._metrics.deleted.labels(self.topic).inc(self._files.delete(each.file))
        stored = [each for each in stored if each.file.day >= oldest]
        most = Size(FILE_BYTES, self._rules.rows)
        for group in to_merge(stored, today=today, least=MERGED_FILES, most=most):
            self._merge([each.file for each in group])

    def _take_row(self, row: Row[Any], today: date, oldest: date, size: int) -> None:
        day = max(min(day_of(row.logged), today), self._day)
        if day < oldest:
            self._metrics.expired.labels(self.topic).inc()
            self._open_buffer().drop(row.offset)
            return
        last = self._buffers[-1] if self._buffers else None
        if last is not None and (last.day not in (None, day) or last.rows >= self._rules.rows):
            self._begin_buffer()
        self._day = day
        self._open_buffer().add(row, day, size)

    def _open_buffer(self) -> Buffer:
        return self._buffers[-1] if self._buffers else self._begin_buffer()

    def _begin_buffer(self) -> Buffer:
        since = self._clock.monotonic()
        self._buffers.append(Buffer(self.topic, LOGGED[self.topic], self.partition, self.behind, since))
        return self._buffers[-1]

    def _write(self, file: LogFile, table: pa.Table, orders: int) -> int:
        """Write a file whose rows were checked against the first `orders` orders; its size."""
        self._files.write(file, table)
        stored = self._files.stored(file)
        if stored is None:
            return 0
        self._checked[file] = (stored, orders)
        return stored.size

    def _without_erased(self, table: pa.Table, since: int = 0) -> pa.Table:
        left = self._erasures.without(table, self.topic, since)
        self._metrics.erased.labels(self.topic).inc(table.num_rows - left.num_rows)
        return left

    def _erase(self, stored: Stored, since: int) -> int:
        whole, orders = Part(stored.file, stored.file.first), len(self._erasures)
        names = pa.array(self._erasures.names(since), pa.string())
        try:
            users = self._files.read(whole, ["user"])["user"]
            table = self._files.read(whole) if pc.any(pc.is_in(users, names)).as_py() else None
        except FileNotFoundError:
            return 0  # merged or deleted meanwhile; a larger one is checked separately
        if table is not None:
            left = self._without_erased(table, since)
            if left.num_rows < table.num_rows:
                self._write(stored.file, left, orders)
                return int(table.num_rows - left.num_rows)
        self._checked[stored.file] = (stored, orders)
        return 0

    def _merge(self, files: list[LogFile]) -> None:
        try:
            tables = [self._files.read(part) for part in select(files)]
        except FileNotFoundError:
            return  # another process did it
        orders = len(self._erasures)
        whole = noted(pa.concat_tables(tables, promote_options="default"), joined_notes(tables))
        table = self._without_erased(whole)
        merged = LogFile(
            self.topic, self.partition, min(each.first for each in files), max(each.behind for each in files),
            files[0].day,
        )  # fmt: skip
        self._write(merged, table, orders)
        for each in files:
            if each != merged:
                self._files.delete(each)
        self._metrics.merged.labels(self.topic).inc(len(files))

    def _stored(self) -> list[Stored]:
        return [each for each in self._files.of_topic(self.topic) if each.file.partition == self.partition]

    def _today(self) -> date:
        return day_of(self._clock.now_ms())

    def _recreated(self, end: int, behind: int) -> TopicRecreated:
        return TopicRecreated(
            f"{self.topic} partition {self.partition} is at offset {end}, but the training log has its records up to "
            f"offset {behind}: the topic was recreated or has lost records. To keep the log, move it away; to log the "
            f"new topic, start `ouzel log` with the folder {self.topic} of the log moved or deleted, or with another "
            "OUZEL_TRAINING_LOG."
        )
