"""Checks whether RocksDB's manifest is whole. RocksDB can read a damaged one in an endless loop: the worker hangs.

The manifest is a log of blocks of 32 KiB: each record has a checksum, a length and a type before its bytes (the format
is that of RocksDB's write-ahead log, described in its wiki).
"""

import struct
from pathlib import Path

from aiokafka.record.util import calc_crc32c

BLOCK_BYTES = 32 * 1024
HEADER = struct.Struct("<IHB")


def whole(folder: Path) -> bool:
    """Whether the manifest that RocksDB would read in `folder` can be read to its end; true if there is none yet."""
    current = folder / "CURRENT"
    try:
        name = current.read_text(encoding="ascii").strip()
        return whole_log((folder / name).read_bytes())
    except FileNotFoundError:
        return not current.exists()  # a manifest that is named and missing is found by RocksDB too
    except (UnicodeDecodeError, OSError):
        return False


def whole_log(log: bytes) -> bool:
    """Whether every record of a log matches its checksum."""
    at = 0
    while at < len(log):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < HEADER.size:  # too little for a header is filled with zeros
            at += left
            continue
        if len(log) - at < HEADER.size:
            return False
        checksum, length, kind = HEADER.unpack_from(log, at)
        end = at + HEADER.size + length
        if length > left - HEADER.size or end > len(log):
            return False
        # The checksum covers the type and the bytes.
        if checksum != _masked(calc_crc32c(bytes((kind,)) + log[at + HEADER.size : end])):
            return False
        at = end
    return True


def _masked(crc: int) -> int:
    """RocksDB's masked checksum: the checksum of data that contains checksums stays valid."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
