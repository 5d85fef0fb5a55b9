"""Readings kept on disk under the digests of their texts, so that each text is read once, whatever is restarted.

One SQLite file for each reader's version: other weights, number formats or ways of reading never mix. Several processes
may use it at once: servers, workers that score in-process, training, evaluation. It holds what the base model makes of
items' texts, and nothing of users.

A store that fails (a full disk, a folder that cannot be written, a damaged file) stops nothing: items are read again.
Each kind of failure is logged once, and all are counted. A damaged file is set aside and a new one begun.
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
    except ImportError:  # a Python that was built without it
        sqlite3 = None

log = logging.getLogger(__name__)

_NUMBER = 4
_SUM = 4
_OVERHEAD = 128
"""Bytes of a reading's row beside its numbers, or a few more: digest, checksum, index, what stays empty of pages."""

_LOOK_UP_SECONDS, _WRITE_SECONDS = 0.05, 5.0
"""How long another process that writes is waited for. A list waits for a look-up, and nobody for a write."""

_ASKED = 500
"""Digests of one query."""

_TOGETHER = 256
"""Texts that training reads before it writes: what an interrupted run loses at most."""

_SET_UP = (
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    "CREATE TABLE IF NOT EXISTS readings (place INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, value BLOB NOT NULL)",
)

T = TypeVar("T")


class ReadingStore:
    """Readings float32 [depths, hidden] by digests of 16 bytes, the oldest evicted beyond `max_bytes`.

    A reading takes its numbers and about 100 bytes: 4.7 KB with SmolLM2. No method raises. `get` is for one thread at a
    time, and `put` for another.
    """

    def __init__(self, folder: Path, version: str, shape: tuple[int, int], max_bytes: int) -> None:
        self.path = folder / f"readings-{version}.sqlite"
        self.capacity = max(1, max_bytes // (_NUMBER * shape[0] * shape[1] + _OVERHEAD))
        self.failures = 0
        """Times that something could not be looked up or kept."""
        self._shape = shape
        self._told: set[str] = set()
        self._file = 0
        """Which file was used last, by its inode: another process may have put a new one in the place of a damaged."""
        self._looking: tuple[sqlite3.Connection, int] | None = None
        """Where readings are looked up, and which file that is."""
        self._guarded(self._create)

    @classmethod
    def of(cls, folder: Path | None, reader: Reader, max_bytes: int) -> "ReadingStore | None":
        """The store of what `reader` reads, in `folder`; None without one, or where this Python has no SQLite."""
        if folder is None:
            return None
        if sqlite3 is None:
            log.warning(
                "readings are not kept on disk: this Python has no sqlite3 module, so a restart reads all items again. "
                "Use a Python that was built with SQLite"
            )
            return None
        return cls(folder, reader.version, (len(reader.depths), reader.hidden), max_bytes)

    def get(self, digests: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The readings that are kept of `digests`."""
        if not digests:
            return {}
        found = self._guarded(lambda: self._look_up(digests))
        return {} if found is None else found

    def put(self, readings: Mapping[bytes, Tensor]) -> None:
        """Keep these. Waits for the disk, and for other processes that write."""
        if readings:
            self._guarded(lambda: self._write([(key, self._packed(value)) for key, value in readings.items()]))

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        with closing(self._connect(_WRITE_SECONDS)) as connection:
            for statement in _SET_UP:
                connection.execute(statement)

    def _connect(self, seconds: float) -> "sqlite3.Connection":
        """A connection to the file, which has to be there. Any thread may use it, one at a time."""
        self._file = self.path.stat().st_ino
        # Autocommit: transactions are written out where they are wanted.
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
        for begin in range(0, len(digests), _ASKED):
            some = digests[begin : begin + _ASKED]
            marks = ",".join("?" * len(some))
            query = f"SELECT digest, value FROM readings WHERE digest IN ({marks})"  # noqa: S608 - question marks only
            for key, value in self._looking[0].execute(query, some).fetchall():
                reading = self._unpacked(value)
                if reading is None:
                    self._failed("a reading is damaged and is read again")
                else:
                    found[key] = reading
        return found

    def _write(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        if not self.path.exists():
            self._create()  # removed meanwhile, or the folder could not be written before
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
            if evicted > len(rows):  # the bound was lowered: give the space back
                # A script, since what vacuums is a statement of many steps without rows.
                connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    def _packed(self, reading: Tensor) -> bytes:
        value = reading.to(torch.float32).contiguous().numpy().tobytes()
        return value + zlib.crc32(value).to_bytes(_SUM, "little")

    def _unpacked(self, packed: bytes) -> Tensor | None:
        """A kept reading; None if it is not what was kept."""
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
            self._failed(f"it is damaged ({error}) and begun again")
            with suppress(OSError, sqlite3.Error):
                self._set_aside()
        return None

    def _set_aside(self) -> None:
        self._looking = None
        if self.path.stat().st_ino != self._file:
            return  # another process has begun a new one already
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        self._create()

    def _failed(self, why: str) -> None:
        self.failures += 1
        if why not in self._told:
            self._told.add(why)
            log.warning(
                "%s: %s. Nothing stops, but what is not kept is read again after a restart: free some space, make the "
                "folder writable, or name another as `readings` in the model's settings",
                self.path,
                why,
            )


def read_through(
    store: ReadingStore | None,
    reader: Reader,
    texts: Sequence[str],
    progress: Count = uncounted,
) -> Tensor:
    """Readings of `texts` as `Reader.read` gives them, float32 [texts, depths, hidden]. Those that `store` lacks are
    read, and kept there as soon as they are."""
    keys = [digest(text) for text in texts]
    unique = dict(zip(keys, texts, strict=True))
    kept = {} if store is None else store.get(list(unique))
    lacking = [key for key in unique if key not in kept]
    for begin in range(0, len(lacking), _TOGETHER):
        some = lacking[begin : begin + _TOGETHER]
        told = _from(progress, begin, len(lacking))
        fresh = dict(zip(some, reader.read([unique[key] for key in some], told), strict=True))
        kept |= fresh
        if store is not None:
            store.put(fresh)
    progress(len(texts), len(texts))
    return _stacked([kept[key] for key in keys], reader)


def _from(progress: Count, begin: int, total: int) -> Count:
    return lambda done, _: progress(begin + done, total)


def _stacked(readings: Iterable[Tensor], reader: Reader) -> Tensor:
    found = list(readings)
    return torch.stack(found) if found else torch.empty(0, len(reader.depths), reader.hidden)
