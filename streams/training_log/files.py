"""Where the training log is stored: a folder, or an object store (`s3://BUCKET/PREFIX`, as `pyarrow.fs` takes it).

A file appears whole or not at all. In a folder, it is written under a temporary name, synced and renamed, and the
folder is synced. An object store puts objects whole; the bytes are complete before the upload begins, because closing
an unfinished upload would publish what it has.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from streams.errors import BadSetting
from streams.private import private_file, private_folder
from streams.training_log.erased import Note, note_of
from streams.training_log.log_files import LogFile, Part, Stored

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin. Readers of Parquet folders skip names with a leading dot."""

BATCH = 2_000
"""Rows that a reader decodes at once."""

_COUNTING = ("partition", "offset", "logged", "ts")
"""Columns whose values grow slowly: stored as differences."""


class Files:
    """The log under one root."""

    def __init__(self, root: str) -> None:
        """Raises `BadSetting` where the root is no place for a log."""
        try:
            root.encode()
        except UnicodeEncodeError:
            raise BadSetting("OUZEL_TRAINING_LOG is not valid UTF-8: name a folder, or s3://BUCKET/PREFIX.") from None
        self._local = "://" not in root
        if self._local:
            self._system, self._root = fs.LocalFileSystem(), os.path.abspath(root)
            return
        try:
            self._system, self._root = fs.FileSystem.from_uri(root)
        except (pa.ArrowInvalid, OSError, NotImplementedError) as error:
            raise BadSetting(
                f"OUZEL_TRAINING_LOG cannot be used as an object store ({type(error).__name__}): write "
                "s3://BUCKET/PREFIX, with ?region= and ?endpoint_override=HOST:PORT where needed."
            ) from None

    def prepare(self) -> None:
        """Make the folder, readable by this user alone, or ask the store for the bucket. Raises `OSError`."""
        if self._local:
            private_folder(Path(self._root))
        else:
            bucket = self._root.partition("/")[0]
            if self._system.get_file_info(bucket).type != fs.FileType.Directory:
                raise BadSetting(f"OUZEL_TRAINING_LOG names the bucket {bucket}, which does not exist: create it.")

    def of_topic(self, topic: str) -> list[Stored]:
        """The files of a topic, sorted. Raises `OSError`."""
        named = ((LogFile.of(each.path), each) for each in self._infos(topic))
        stored = [Stored(file, each.size, each.mtime_ns) for file, each in named if file is not None]
        return sorted(stored, key=lambda each: each.file)

    def stored(self, file: LogFile) -> Stored | None:
        """A file as it is now; None if it does not exist. Raises `OSError`."""
        info = self._system.get_file_info(self._full(file.path))
        return Stored(file, info.size, info.mtime_ns) if info.type == fs.FileType.File else None

    def write(self, file: LogFile, table: pa.Table) -> None:
        """Write the whole file, replacing one of the same name. Raises `OSError`."""
        data = parquet(table)
        if self._local:
            self._place(file, data)
        else:
            with self._system.open_output_stream(self._full(file.path)) as out:
                out.write(data)

    def read(self, part: Part, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """The rows of a part, by offset; only those `where` this holds. Raises `OSError` and `pa.ArrowInvalid`."""
        with self._system.open_input_file(self._full(part.file.path)) as given:
            table = pq.read_table(given, columns=columns, filters=where)
        return table if part.begin <= part.file.first else table.filter(pc.field("offset") >= part.begin)

    def note(self, file: LogFile) -> Note:
        """What a file says of erased rows. Raises `OSError` and `pa.ArrowInvalid`."""
        with self._system.open_input_file(self._full(file.path)) as given:
            return note_of(pq.read_schema(given).metadata)

    def batches(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The rows of a part in batches, by offset. Raises `OSError` and `pa.ArrowInvalid`."""
        with self._system.open_input_file(self._full(part.file.path)) as given:
            for batch in pq.ParquetFile(given).iter_batches(BATCH):
                wanted = batch if part.begin <= part.file.first else _from(batch, part.begin)
                if wanted.num_rows:
                    yield wanted

    def delete(self, file: LogFile) -> bool:
        """Delete a file; whether it was there. Raises `OSError`."""
        try:
            self._system.delete_file(self._full(file.path))
        except FileNotFoundError:
            return False
        if self._local:
            with suppress(OSError):  # it has other files of that day
                os.rmdir(self._full(file.folder))
        return True

    def clear_unfinished(self, topic: str, before_ms: int) -> int:
        """Delete unfinished files that were last written before a time; how many these were.

        Their writers died: one that lives finishes a file within seconds.
        """
        left = [
            each.path
            for each in self._infos(topic)
            if each.base_name.startswith(TEMPORARY) and each.mtime_ns < before_ms * 1_000_000
        ]
        for path in left:
            self._system.delete_file(path)
        return len(left)

    def _place(self, file: LogFile, data: Any) -> None:
        folder = self._full(file.folder)
        _make_synced(Path(folder))
        aside = f"{folder}/{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with open(aside, "wb", opener=private_file) as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.replace(aside, self._full(file.path))
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        _sync(folder)

    def _infos(self, topic: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self._full(topic), allow_not_found=True, recursive=True)
        return [each for each in self._system.get_file_info(selector) if each.type == fs.FileType.File]

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"


def parquet(table: pa.Table) -> pa.Buffer:
    """The table as the bytes of a Parquet file."""
    counting = [name for name in _COUNTING if name in table.column_names]
    out = pa.BufferOutputStream()
    pq.write_table(
        table,
        out,
        compression="zstd",
        use_dictionary=[name for name in _leaves(table.schema) if name not in counting],
        column_encoding=dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
    )
    return out.getvalue()


@cache
def _leaves(schema: pa.Schema) -> list[str]:
    """The paths of the columns that Parquet stores."""
    described = pq.ParquetFile(_empty(schema)).schema
    return [described.column(at).path for at in range(len(described))]


def _empty(schema: pa.Schema) -> pa.BufferReader:
    out = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), out)
    return pa.BufferReader(out.getvalue())


def _from(batch: pa.RecordBatch, begin: int) -> pa.RecordBatch:
    offsets = batch.column("offset").to_numpy()
    return batch.slice(int(offsets.searchsorted(begin)))


def _make_synced(folder: Path) -> None:
    """Make a folder with its parents, each durable in the one above it."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        _sync(str(each.parent))


def _sync(folder: str) -> None:
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
