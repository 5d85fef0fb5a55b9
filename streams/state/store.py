"""The state of one partition on disk: RocksDB through rocksdict, with a bounded block cache.

Keys are a one-byte prefix and a name. A value on disk, and on the changelog alike, is an envelope: the stamp (8 bytes),
the wall time in milliseconds at which it was written (8 bytes), both big-endian, and the encoded object. The folder is
a cache of the changelog and can be deleted at any time while no worker runs on it.

Disk errors are raised as `StoreFailed`. A store that was found damaged is deleted when it is closed, so that the next
one is rebuilt from the changelog; one whose disk is full stays.

Memory: at most `block_cache_mb` of blocks and 16 MiB of write buffers, by partition.
"""

import fcntl
import gc
import logging
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
)

from schemas.topics import CONTEXTS
from streams.errors import StoreFailed
from streams.private import private_folder
from streams.settings import Settings
from streams.state.rocksdb_manifest import whole

log = logging.getLogger(__name__)

CONTEXT, EXPOSURE, PART = b"c", b"x", b"p"
BLEND = b"b"
"""Prefix of what a partition learned by itself, written by workers from before partitions learned together."""

VERSIONS, ERASURE, KEY, TOPIC = b"v", b"e", b"k", b"t"
ITEM_SECRET, SESSIONS, GAIN = b"i", b"s", b"g"
MARKER = b"m"
"""Prefix of the records on the changelog that hold no state: the marks of recoveries (`streams.state.changelog`)."""

FULL = "No space left on device"
"""RocksDB's text for a full disk."""

LOCKED = "/LOCK: "
"""RocksDB's text for a folder that another process has open: the name of the file. (Just `lock` is in `block` too.)"""

_META = b"!"
"""The key of the store's metadata. It sorts before every prefix above and is never on the changelog."""

_NOTHING = b"!!"
"""A key that is never written."""

_HEAD = struct.Struct(">qq")
_STAMP = struct.Struct(">q")
HEAD_BYTES = _HEAD.size


class Header(NamedTuple):
    """`stamp` orders the values of one key; `written_ms` is when the value was made."""

    stamp: int
    written_ms: int


def seal(stamp: int, written_ms: int, payload: bytes) -> bytes:
    """The envelope."""
    return _HEAD.pack(stamp, written_ms) + payload


def stamp_of(value: bytes) -> int:
    """The stamp in an envelope's head. Raises `struct.error` if it is not an envelope."""
    stamp: int = _STAMP.unpack_from(value)[0]
    return stamp


def header(value: bytes) -> Header:
    """The envelope's head. Raises `struct.error` if it is not an envelope."""
    return Header(*_HEAD.unpack_from(value))


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """A store's metadata: the changelog that it follows, the offset up to which (exclusive) it holds it, the highest
    stamp, and the wall time of the last write."""

    identity: bytes = b""
    position: int = 0
    high: int = -1
    written_ms: int = 0


class Store:
    """The store of one partition. One process at a time: opening a folder that another holds raises."""

    def __init__(self, folder: Path, *, block_cache_mb: int = 16) -> None:
        self.folder = folder
        self._block_cache_mb = block_cache_mb
        self._damaged = False
        self._open()

    def _open(self) -> None:
        private_folder(self.folder)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(8 * 1024 * 1024)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        options.set_max_open_files(256)
        # The list of files names the first and last key of each: it is rewritten at each change, see `scrub`.
        options.set_max_manifest_file_size(1)
        table = BlockBasedOptions()
        table.set_block_cache(Cache(self._block_cache_mb * 1024 * 1024))
        table.set_bloom_filter(10, False)
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        self._db = _rocks(self.folder, options)
        raw = self._db.get(_META)
        self.facts = Facts() if raw is None else msgspec.msgpack.decode(raw, type=Facts)

    def get(self, key: bytes) -> bytes | None:
        """The envelope under `key`. Raises `StoreFailed`."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._failure(error) from None
        return value

    def write(self, updates: Iterable[tuple[bytes, bytes | None]], facts: Facts) -> None:
        """Put the envelopes (None deletes) and the facts in one atomic write. Raises `StoreFailed`."""
        batch = WriteBatch(raw_mode=True)
        for key, value in updates:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_META, msgspec.msgpack.encode(facts))
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._failure(error) from None
        self.facts = facts

    def scan(self, after: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` entries in key order, from the first key after `after`. Raises `StoreFailed`."""
        at = self._db.iter()
        at.seek(max(after, _META) + b"\x00")
        failed: StoreFailed | None = None
        for _ in range(limit):
            if not at.valid():
                failed = self._failed(at)  # an iterator ends at a damaged block without an error
                break
            yield at.key(), at.value()
            at.next()
        del at  # it keeps the folder open, and a traceback would keep it alive
        if failed is not None:
            raise failed

    def scrub(self, keys: Iterable[bytes]) -> None:
        """Physically purge these deleted keys: from the write-ahead log, files of older levels and the list of files.

        Rewrites every file that could hold one. May run in a thread beside reads and writes, but not beside `close`.
        Raises `StoreFailed`."""
        options = CompactOptions()
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
        try:
            self._db.flush()  # move the log to files
            for key in keys:
                self._db.compact_range(key, key + b"\x00", options)
            self._db.delete(_NOTHING)
            self._db.flush()  # one more change, so that the list of files naming the old ones is replaced
        except Exception as error:
            raise self._failure(error) from None

    def size_bytes(self) -> int:
        """Approximate size of the data, on disk and in write buffers."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(self._db.property_int_value(name) or 0 for name in names)

    def clear(self) -> None:
        """Delete everything."""
        self.close()
        self._delete()
        self._open()

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete the state in `folder`, which no store has open."""
        shutil.rmtree(folder)

    def close(self) -> None:
        """Release the folder. Never raises: the last writes are on the changelog."""
        try:
            self._db.close()
        except Exception as error:
            log.warning("The state could not be closed cleanly: %s", self._failure(error))
        if self._damaged:
            log.warning("The state in %s is damaged and is rebuilt from the changelog", self.folder)
            self._delete()

    def _delete(self) -> None:
        gc.collect()  # see `_rocks`: an open RocksDB would write into the folder when it ends
        self.remove(self.folder)

    def _failed(self, iterator: RdictIter) -> StoreFailed | None:
        """The error that ended the iterator, if any."""
        try:
            iterator.status()
        except Exception as error:
            return self._failure(error)
        return None

    def _failure(self, error: Exception) -> StoreFailed:
        """The error to raise for a RocksDB error. Damage is remembered; a full disk is not."""
        self._damaged = self._damaged or "Corruption" in str(error)
        return failure(self.folder, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def failure(folder: Path, error: Exception) -> StoreFailed:
    """A `StoreFailed` for a RocksDB error. Only the kind of its text is shown, since the rest may hold a key."""
    text = str(error)
    if "Corruption" in text:
        return StoreFailed(f"the state in {folder} is damaged; it is rebuilt from the changelog")
    if FULL in text:
        return StoreFailed(f"the disk of the state in {folder} is full ({FULL}); make room on it")
    return StoreFailed(f"the state in {folder} fails ({text.partition(':')[0][:80]}); look at its disk and its rights")


def _rocks(folder: Path, options: Options) -> Rdict:
    """Open RocksDB on a folder that this process may just have closed."""
    try:
        return Rdict(str(folder), options)
    except Exception as error:
        if "lock hold by current process" not in str(error):
            raise
    # A closed RocksDB stays open while one of its iterators exists. The traceback of the error for which it was closed
    # can hold one, in a cycle that Python would collect much later.
    gc.collect()
    return Rdict(str(folder), options)


def folder_of(settings: Settings, partition: int) -> Path:
    """The folder of a partition's store."""
    return settings.state.dir / settings.kafka.app_id / f"{CONTEXTS.name}-{partition}"


def open_store(folder: Path, block_cache_mb: int) -> Store:
    """The store in `folder`. An unreadable one is recreated: the changelog has everything.

    Raises `StoreFailed` if the disk is full: the store is usable again once there is room.
    """
    if whole(folder) or _held(folder):
        try:
            return Store(folder, block_cache_mb=block_cache_mb)
        except Exception as error:
            if FULL in str(error):
                raise failure(folder, error) from None
            if LOCKED in str(error):
                raise  # another process still holds it: a matter of seconds, after a rebalance on one machine
    log.warning("The state in %s cannot be read and is rebuilt from the changelog", folder)
    Store.remove(folder)
    return Store(folder, block_cache_mb=block_cache_mb)


def _held(folder: Path) -> bool:
    """Whether another process has the store open, whose writes in progress may look like damage."""
    try:
        with (folder / "LOCK").open("rb+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
