"""A store of readings on disk, keyed by digests of their texts, so that each text is read once across restarts.

There is one SQLite file per reader version: readings of different weights, number formats or reader versions never mix.
Several processes may share it: servers, workers that score in-process, training, evaluation. It holds the base model's
readings of item texts, and no user data.

Failures (a full disk, an unwritable folder, a damaged file) are not fatal: items are read again. Each kind of failure
is logged once, and all are counted. A damaged file is set aside and replaced by a new one.
"""

import logging
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from inference.item_tokens.reading import Reader, digest
from inference.progress import Count, uncounted

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import sqlite3
    except ImportError:  # a Python built without it
        sqlite3 = None

log = logging.getLogger(__name__)

_NUMBER = 4
_SUM = 4
_OVERHEAD = 128
"""Upper estimate of the bytes per row besides the numbers: digest, checksum, index, unused parts of pages."""

_LOOK_UP_SECONDS, _WRITE_SECONDS = 0.05, 5.0
"""Lock timeouts while another process writes. Look-ups delay a list; writes run in the background."""

_QUERY_SIZE = 500
"""Digests per query."""

_WRITE_SIZE = 64
"""Texts that training reads between looks and writes: the most that an interrupted run loses, or reads beside another
process."""

_SET_UP = (
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    "CREATE TABLE IF NOT EXISTS readings (place INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, value BLOB NOT NULL)",
)

T = TypeVar("T")


class ReadingStore:
    """Readings float32 [depths, hidden] by 16-byte digests; the oldest are evicted beyond `max_bytes`.

    A reading takes its numbers and about 100 bytes: 4.7 KB with SmolLM2. No method raises. Call `get` from one thread
    at a time; `put` may run in another.
    """

    def __init__(self, folder: Path, version: str, shape: tuple[int, int], max_bytes: int) -> None:
        self.path = folder / f"readings-{version}.sqlite"
        self.capacity = max(1, max_bytes // (_NUMBER * shape[0] * shape[1] + _OVERHEAD))
        self.failures = 0
        """Number of failed look-ups and writes."""
        self._shape = shape
        self._logged: set[str] = set()
        self._file = 0
        """Inode of the file last used: another process may have replaced a damaged file."""
        self._looking: tuple[sqlite3.Connection, int] | None = None
        """The connection for look-ups, and the inode of its file."""
        self._guarded(self._create)

    @classmethod
    def of(cls, folder: Path | None, reader: Reader, max_bytes: int) -> "ReadingStore | None":
        """The store for `reader` in `folder`; None without a folder, or if this Python has no SQLite."""
        if folder is None:
            return None
        if sqlite3 is None:
            log.warning(
                "Readings are not stored on disk: this Python has no sqlite3 module, so a restart reads all items "
                "again. Use a Python built with SQLite."
            )
            return None
        return cls(folder, reader.version, (len(reader.depths), reader.hidden), max_bytes)

    def get(self, digests: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The stored readings among `digests`."""
        if not digests:
            return {}
        found = self._guarded(lambda: self._look_up(digests))
        return {} if found is None else found

    def put(self, readings: Mapping[bytes, Tensor]) -> None:
        """Store readings. Waits for the disk and for writes of other processes."""
        if readings:
            self._guarded(lambda: self._write([(key, self._packed(value)) for key, value in readings.items()]))

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        with closing(self._connect(_WRITE_SECONDS)) as connection:
            for statement in _SET_UP:
                connection.execute(statement)

    def _connect(self, seconds: float) -> "sqlite3.Connection":
        """Connect to the existing file. Any thread may use the connection, one at a time."""
        self._file = self.path.stat().st_ino
        # Autocommit: transactions are explicit.
        connection = sqlite3.connect(self.path, timeout=seconds, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _look_up(self, digests: Sequence[bytes]) -> dict[bytes, Tensor]:
        if self._looking is None or self._looking[1] != self._file:
            connection = self._connect(_LOOK_UP_SECONDS)
            weakref.finalize(self, connection.close)
            self._looking = connection, self._file
        found: dict[bytes, Tensor] = {}
        for begin in range(0, len(digests), _QUERY_SIZE):
            some = digests[begin : begin + _QUERY_SIZE]
            marks = ",".join("?" * len(some))
            query = f"SELECT digest, value FROM readings WHERE digest IN ({marks})"  # noqa: S608 - question marks only
            for key, value in self._looking[0].execute(query, some).fetchall():
                reading = self._unpacked(value)
                if reading is None:
                    self._failed("a stored reading is damaged")
                else:
                    found[key] = reading
        return found

    def _write(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        if not self.path.exists():
            self._create()  # removed meanwhile, or the folder was not writable before
        with closing(self._connect(_WRITE_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO readings (digest, value) VALUES (?, ?) "
                "ON CONFLICT (digest) DO UPDATE SET value = excluded.value",
                rows,
            )
            evicted = connection.execute(
                "DELETE FROM readings WHERE place <= (SELECT max(place) FROM readings) - ?", (self.capacity,)
            ).rowcount
            connection.execute("COMMIT")
            if evicted > len(rows):  # the bound was lowered: free the space
                # As a script: the vacuum needs many steps, and `execute` would run only the first.
                connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    def _packed(self, reading: Tensor) -> bytes:
        value = reading.to(torch.float32).contiguous().numpy().tobytes()
        return value + zlib.crc32(value).to_bytes(_SUM, "little")

    def _unpacked(self, packed: bytes) -> Tensor | None:
        """Decode a stored reading; None if it is damaged."""
        value = packed[:-_SUM]
        if len(value) != _NUMBER * self._shape[0] * self._shape[1]:
            return None
        if zlib.crc32(value).to_bytes(_SUM, "little") != packed[-_SUM:]:
            return None
        return torch.frombuffer(bytearray(value), dtype=torch.float32).view(self._shape)

    def _guarded(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except (OSError, sqlite3.OperationalError) as error:  # the disk, the folder, a lock: the file may be sound
            self._failed(getattr(error, "strerror", None) or str(error))
        except sqlite3.DatabaseError as error:
            self._failed(f"the file is damaged ({error}) and was replaced")
            with suppress(OSError, sqlite3.Error):
                self._set_aside()
        return None

    def _set_aside(self) -> None:
        self._looking = None
        if self.path.stat().st_ino != self._file:
            return  # another process has already replaced it
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        self._create()

    def _failed(self, why: str) -> None:
        self.failures += 1
        if why not in self._logged:
            self._logged.add(why)
            log.warning(
                "%s: %s. Serving continues, but readings that are not stored are computed again after a restart. Free "
                "some disk space, make the folder writable, or set `readings` in the model's settings to another.",
                self.path,
                why,
            )


def read_through(
    store: ReadingStore | None,
    reader: Reader,
    texts: Sequence[str],
    progress: Count = uncounted,
) -> Tensor:
    """Readings of `texts` like `Reader.read`, float32 [texts, depths, hidden]. Reads texts that are missing in `store`
    and stores them as it goes; those that another process stores meanwhile it takes from there."""
    keys = [digest(text) for text in texts]
    unique = dict(zip(keys, texts, strict=True))
    kept = {} if store is None else store.get(list(unique))
    missing = [key for key in unique if key not in kept]
    for begin in range(0, len(missing), _WRITE_SIZE):
        some = missing[begin : begin + _WRITE_SIZE]
        found = store.get(some) if store is not None and begin else {}
        unread = [key for key in some if key not in found]
        partial = _from(progress, begin + len(found), len(missing))
        fresh = dict(zip(unread, reader.read([unique[key] for key in unread], partial), strict=True))
        kept |= found | fresh
        if store is not None:
            store.put(fresh)
    progress(len(texts), len(texts))
    return _stacked([kept[key] for key in keys], reader)


def _from(progress: Count, begin: int, total: int) -> Count:
    return lambda done, _: progress(begin + done, total)


def _stacked(readings: Iterable[Tensor], reader: Reader) -> Tensor:
    found = list(readings)
    return torch.stack(found) if found else torch.empty(0, len(reader.depths), reader.hidden)
