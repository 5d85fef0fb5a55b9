"""Reads a record batch that aiokafka cannot read whole, record by record. Pure.

The format is Kafka's message format 2: a header of 61 bytes with a checksum, then the records, compressed as a whole.
Each record states its length, so a damaged one hides none of the others. Headers are skipped: their names need not be
UTF-8, though aiokafka assumes it.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka import codec
from aiokafka.record.util import calc_crc32c

from streams.unreadable import Unreadable

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader's epoch, magic, checksum, attributes, last offset delta, first and greatest timestamp,
producer's id and epoch, base sequence, count of records."""

FRAME = 12
"""Bytes before those that the length counts."""

CHECKED_FROM = 21
"""Where the bytes begin that the checksum covers."""

CODEC, APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
"""Bits of the attributes."""

CODECS: dict[int, tuple[str, Callable[[], bool], Callable[[bytes], bytes]]] = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}


class Salvaged(NamedTuple):
    """A record with all fields of a consumer's record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Any, ...] = ()
    checksum: None = None


def attributes(raw: bytes, at: int) -> int:
    """The attributes of the batch (or old message) that begins at `at`."""
    return int.from_bytes(raw[at + 21 : at + 23], "big") if raw[at + 16] >= 2 else raw[at + 17]


def last_offset(raw: bytes, at: int, end: int) -> int:
    """The last offset of the damaged batch at `raw[at:end]`, as far as it can be known.

    The damage may be in its header. The start of the next batch is the best evidence; otherwise its count must agree
    with its last offset; otherwise only its first offset counts as lost, and the next fetch begins after that.
    """
    if len(raw) >= end + 8:
        following: int = int.from_bytes(raw[end : end + 8], "big", signed=True)
        return following - 1
    base: int = int.from_bytes(raw[at : at + 8], "big", signed=True)
    if end - at >= HEADER.size:
        header = HEADER.unpack_from(raw, at)
        delta: int = header[6]
        count: int = header[12]
        if delta >= 0 and count == delta + 1:
            return base + int(delta)
    return base


def salvage(topic: str, partition: int, raw: bytes, wanted: int, last: int) -> list[Salvaged | Unreadable]:
    """The records of the batch in `raw` from offset `wanted` to `last`, and an `Unreadable` for each unreadable part.

    A control batch gives nothing: readers do not need its records.
    """
    base = int.from_bytes(raw[:8], "big", signed=True)

    def lost(first: int, to: int, why: str) -> Unreadable:
        return Unreadable(topic, partition, max(first, wanted), to, why)

    body = _body(raw)
    if isinstance(body, str):
        return [lost(wanted, last, body)]
    flags, first_timestamp, greatest, count = (HEADER.unpack_from(raw)[at] for at in (5, 7, 8, 12))
    if flags & CONTROL:
        return []
    if base > last:
        return [lost(wanted, last, "its offsets are damaged")]
    found: list[Salvaged | Unreadable] = []
    at, expected = 0, base
    while at < len(body) and len(found) < count:
        try:
            length, start = _varint(body, at)
            if not 0 <= length <= len(body) - start:
                raise ValueError
        except (ValueError, IndexError):
            break
        at = start + length
        try:
            timestamp, delta, key, value = _record(body[start:at])
            if not expected <= base + delta <= last:
                raise ValueError
        except (ValueError, IndexError):
            found.append(lost(expected, expected, "its fields do not fit its length"))
        else:
            by_broker = bool(flags & APPEND_TIME)
            time = greatest if by_broker else first_timestamp + timestamp
            found.append(Salvaged(base + delta, time, int(by_broker), key, value))
        expected = found[-1].offset + 1
    if expected <= last and (at < len(body) or len(found) < count):
        found.append(lost(expected, last, "the batch is shorter than its records"))
    return [each for each in found if each.offset >= wanted]


def _body(raw: bytes) -> bytes | str:
    """The records of a batch, decompressed; or why it cannot be read."""
    if len(raw) < HEADER.size or raw[16] != 2:
        return f"its format ({raw[16]}) is not known, or damaged"
    if calc_crc32c(raw[CHECKED_FROM:]) != int.from_bytes(raw[17:21], "big"):
        return "the checksum is wrong, so it was damaged on the broker's disk or in transit"
    compression, body = attributes(raw, 0) & CODEC, raw[HEADER.size :]
    if not compression:
        return body
    if compression not in CODECS:
        return f"its compression ({compression}) is none of {', '.join(name for name, *_ in CODECS.values())}"
    name, _, decompress = CODECS[compression]
    try:
        return decompress(body)
    except Exception as error:  # each library raises different errors
        return f"its {name} data cannot be decompressed ({type(error).__name__})"


def _record(body: bytes) -> tuple[int, int, bytes | None, bytes | None]:
    """Timestamp and offset relative to the batch's, key and value. Raises ValueError or IndexError on an invalid
    record."""
    timestamp, at = _varint(body, 1)
    delta, at = _varint(body, at)
    key, at = _bytes(body, at)
    value, at = _bytes(body, at)
    return timestamp, delta, key, value


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(body, at)
    if length < 0:
        return None, at
    if length > len(body) - at:
        raise ValueError
    return body[at : at + length], at + length


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of at most 64 bits, and the position after it."""
    shift = number = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > 63:
            raise ValueError
