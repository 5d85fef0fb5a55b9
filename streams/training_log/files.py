"""The files of the training log: Parquet by topic and day, each named for the offsets that it holds.

    ROOT/ouzel.events/day=2026-11-27/ouzel.events-3-00000000000000000120-00000000000000000450.parquet

holds the records of partition 3 from offset 120 up to, but without, 450. The names alone say how far a partition is
logged, so nothing else has to be kept in step with the files: a writer that died continues behind its last file, and
each record is in the log once. A file appears whole or not at all: it is written under a temporary name, synced and
renamed (an object store puts objects whole).

Two writers of one partition, of which one was thought dead, may write ranges that overlap. `select` gives a reader each
offset once all the same.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin. Readers of Parquet folders skip names with a leading dot."""

_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<first>\d{20})-(?P<behind>\d{20})\.parquet")


@dataclass(frozen=True, order=True)
class LogFile:
    """The records of one partition from offset `first` to before `behind`, logged on `day`."""

    topic: str
    partition: int
    first: int
    behind: int
    day: date

    @property
    def path(self) -> str:
        """Relative to the root of the log."""
        name = f"{self.topic}-{self.partition}-{self.first:020d}-{self.behind:020d}.parquet"
        return f"{self.topic}/day={self.day.isoformat()}/{name}"

    @classmethod
    def of(cls, path: str) -> Self | None:
        """The file of this path, or None where the name is not one of the log's."""
        folder, _, name = path.rpartition("/")
        found = _NAME.fullmatch(name)
        day = folder.rpartition("/")[2].removeprefix("day=")
        if found is None:
            return None
        try:
            return cls(found["topic"], int(found["partition"]), int(found["first"]), int(found["behind"]),
                       date.fromisoformat(day))  # fmt: skip
        except ValueError:
            return None


@dataclass(frozen=True)
class Part:
    """What to read of a file: the rows from offset `begin` on."""

    file: LogFile
    begin: int


def day_of(ms: int) -> date:
    """The day, in UTC, of a time in milliseconds since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def covered(files: Iterable[LogFile]) -> dict[int, int]:
    """The offset that each partition is logged up to, by partition."""
    behind: dict[int, int] = {}
    for file in files:
        behind[file.partition] = max(behind.get(file.partition, 0), file.behind)
    return behind


def select(files: Iterable[LogFile]) -> Iterator[Part]:
    """The files of one topic such that each offset is read once, in the order of the offsets of each partition."""
    partition, behind = -1, 0
    for file in sorted(files, key=lambda each: (each.partition, each.first, -each.behind)):
        if file.partition != partition:
            partition, behind = file.partition, 0
        if file.behind > behind:
            yield Part(file, max(file.first, behind))
            behind = file.behind


class Files:
    """The log under one root: a folder, or an object store (`s3://BUCKET/PREFIX`, as `pyarrow.fs` takes it)."""

    def __init__(self, root: str) -> None:
        """Raises `ValueError` or `OSError` where the root is no place for a log."""
        if "://" in root:
            self._system, self._root = fs.FileSystem.from_uri(root)
        else:
            self._system, self._root = fs.LocalFileSystem(), os.path.abspath(root)
        self._local = isinstance(self._system, fs.LocalFileSystem)

    def of_topic(self, topic: str) -> list[LogFile]:
        """The files of a topic, sorted."""
        return sorted(file for each in self._infos(topic) if (file := LogFile.of(each.path)) is not None)

    def write(self, file: LogFile, table: pa.Table) -> None:
        """Write the whole file, replacing one of the same name. Raises `OSError`."""
        path = self._full(file.path)
        folder, _, name = path.rpartition("/")
        self._system.create_dir(folder, recursive=True)
        if not self._local:
            with self._system.open_output_stream(path) as out:
                pq.write_table(table, out, compression="zstd")
            return
        aside = f"{folder}/{TEMPORARY}{os.getpid()}-{name}"
        with open(aside, "wb") as out:
            pq.write_table(table, out, compression="zstd")
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
        _sync(folder)

    def read(self, part: Part) -> pa.Table:
        """The rows of a part, by offset. Raises `OSError` and `pa.ArrowInvalid`."""
        with self._system.open_input_file(self._full(part.file.path)) as given:
            table = pq.read_table(given)
        return table.filter(pc.field("offset") >= part.begin) if part.begin > part.file.first else table

    def erase(self, file: LogFile, user: str, behind: int | None, to_ms: int) -> int:
        """Rewrite a file without the rows of a user that an erasure covers; how many these were.

        Those are the rows before offset `behind`, or where it is None, up to the time `to_ms` of the message.
        """
        path = self._full(file.path)
        with self._system.open_input_file(path) as given:
            if not pc.any(pc.equal(pq.read_table(given, columns=["user"])["user"], user)).as_py():
                return 0
        table = self.read(Part(file, file.first))
        covers = table["offset"] if behind is not None else table["ts"]
        limit = pc.less(covers, behind) if behind is not None else pc.less_equal(covers, to_ms)
        gone = pc.and_(pc.equal(table["user"], user), limit)
        left = table.filter(pc.invert(gone))
        if left.num_rows < table.num_rows:
            self.write(file, left)
        return int(table.num_rows - left.num_rows)

    def expire(self, topic: str, today: date, days: int) -> int:
        """Delete the files of days that ended more than `days` ago; how many these were."""
        oldest = today - timedelta(days=days)
        old = [file for file in self.of_topic(topic) if file.day < oldest]
        for file in old:
            self._system.delete_file(self._full(file.path))
        return len(old)

    def clear_unfinished(self, topic: str) -> int:
        """Delete what writers that died left unfinished; how many files these were."""
        left = [each.path for each in self._infos(topic) if each.base_name.startswith(TEMPORARY)]
        for path in left:
            self._system.delete_file(path)
        return len(left)

    def _infos(self, topic: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self._full(topic), allow_not_found=True, recursive=True)
        return [each for each in self._system.get_file_info(selector) if each.type == fs.FileType.File]

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"


def _sync(folder: str) -> None:
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
