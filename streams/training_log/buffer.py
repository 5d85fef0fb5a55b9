"""Rows of one partition and day that are in no file yet. Pure.

Rows are gathered as messages and packed into Arrow tables of `PACKED` rows, which take about as many bytes as the
records. The most that a buffer holds as messages is therefore `PACKED` rows.
"""

from datetime import date
from typing import Any

import msgspec
import pyarrow as pa

from streams.training_log.log_files import LogFile
from streams.training_log.tables import Row, schema_of, table_of

PACKED = 1_000
"""Rows of one table in memory."""


class Buffer:
    """The records of a partition from offset `first` to before `behind`. `since` is when it began, in seconds."""

    def __init__(self, topic: str, message: type[msgspec.Struct], partition: int, first: int, since: float) -> None:
        self._topic = topic
        self._message = message
        self._partition = partition
        self.first = self.behind = first
        self.since = since
        self.day: date | None = None
        """The day of its rows; None without rows."""
        self.rows = 0
        self.bytes = 0
        """About the bytes that it takes in memory."""
        self._tables: list[pa.Table] = []
        self._fresh: list[Row[Any]] = []

    def add(self, row: Row[Any], day: date, size: int) -> None:
        """Add the row of the next record, whose value has `size` bytes. `day` is that of the rows before."""
        assert self.day in (None, day), "a file has rows of one day"
        self.day = day
        self.behind = row.offset + 1
        self.rows += 1
        self.bytes += size
        self._fresh.append(row)
        if len(self._fresh) >= PACKED:
            self._tables.append(table_of(self._message, self._fresh))
            self._fresh = []

    def drop(self, offset: int) -> None:
        """Step over a record that is too old for the log; at the beginning, the range starts behind it."""
        self.behind = offset + 1
        if not self.rows:
            self.first = self.behind

    def skip(self, first: int, last: int) -> None:
        """Step over the records at offsets `first` to `last`, which are not logged."""
        if not self.rows and self.first == self.behind:
            self.first = first
        self.behind = last + 1

    def table(self) -> pa.Table:
        """All rows, in the order of their offsets."""
        fresh = [table_of(self._message, self._fresh)] if self._fresh else []
        return pa.concat_tables([schema_of(self._message).empty_table(), *self._tables, *fresh])

    def file(self, day: date) -> LogFile:
        """The file for these rows; `day` is that of a buffer without rows."""
        return LogFile(self._topic, self._partition, self.first, self.behind, self.day or day)
