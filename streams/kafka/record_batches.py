"""The record batches of one fetch: read by aiokafka's compiled code, and salvaged record by record where that fails.

`Batches` replaces aiokafka's unpacking, for a consumer (`OneByOne`) or for a lane (`ByBatch`).
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka.salvage import CODEC, CODECS, CONTROL, FRAME, TRANSACTIONAL, attributes, last_offset, salvage
from streams.unreadable import Unreadable

LEAST_LENGTH = 14
"""Size of the shortest batch after its frame; a smaller one is damaged."""

PREFIX = struct.Struct(">qiibIhi")
"""The start of a batch: base offset, length, leader's epoch, magic, checksum, attributes, last offset delta."""

NOT_PLAIN = CONTROL | TRANSACTIONAL

SLACK = 4096
"""How many offsets a batch may exceed the partition's end by: a broker may look up the end before the records."""


class Batches:
    """The record batches of a fetch that hold records to read. Updates `next_fetch_offset` of aiokafka's `records`, as
    aiokafka's unpacking does, except for the batch returned last: its reader does that.

    `raw` holds the bytes that `records` was made from; `highwater` is the end of the partition.
    """

    def __init__(self, records: Any, raw: bytes, highwater: int) -> None:
        self.of = records
        self._raw = raw
        self._view = memoryview(raw)
        self._highwater = highwater
        self._at = 0
        self._start = records.next_fetch_offset
        self._over = False

    def next(self) -> tuple[list[Any], int] | None:
        """The records of the next batch from the wanted offset on, and the offset after it; None at the end.

        Ends after a batch that cannot be read whole, and before one whose codec is not installed: the rest is fetched
        again, with the broker's list of aborted transactions from there on.
        """
        raw, size = self._raw, len(self._raw)
        while not self._over and size - self._at >= PREFIX.size:
            at = self._at
            base, length, _, magic, _, flags, delta = PREFIX.unpack_from(raw, at)
            end = at + FRAME + length
            if end > size or ((magic != 2 or flags & CODEC) and missing_codec(raw, at)):
                self._over = True
                return None
            if length < LEAST_LENGTH:
                return self._give_up(f"the length of its batch ({length}) is impossible, so it was damaged")
            self._at = end
            try:
                if magic == 2:
                    given = self._read(DefaultRecordBatch(self._view[at:end]), at, flags, base, base + delta + 1)
                else:
                    given = self._read_older(at, magic)
            except Exception:  # raised by damage or by a library: read what can be read
                given = self._salvaged(at, end)
            if given is not None:
                return given
        stands = not self._over and self._at > 0 and self.of.next_fetch_offset == self._start
        self._over = True
        if stands and self._start < self._highwater:
            return self._give_up("the broker sends only batches from before it, so its offsets are damaged")
        return None

    def _read(self, batch: Any, at: int, flags: int, base: int, behind: int) -> tuple[list[Any], int] | None:
        """The records of a batch that ends before offset `behind`, and that offset; None if it holds none to read."""
        of = self.of
        first = of.next_fetch_offset
        if not batch.validate_crc():
            return self._salvaged(at, self._at)
        if behind > self._highwater + SLACK and behind > first + SLACK:
            # The first offset is the only number that no checksum covers.
            return self._give_up(f"its batch says that it ends at offset {behind}, behind the partition's end")
        if behind <= first:
            return None
        if flags & NOT_PLAIN:
            skip = bool(flags & CONTROL)
            if flags & TRANSACTIONAL and of._isolation_level == READ_COMMITTED:
                skip = self._aborted(batch, base, control=skip) or skip
            if skip:
                of.next_fetch_offset = behind
                return None
        # Not `list`: that is all compiled code, and no other thread runs until it is done.
        records = [record for record in batch]  # noqa: C416
        # A fetch begins with the whole batch that contains the wanted offset.
        return records if base >= first else _from(records, first), behind

    def _read_older(self, at: int, magic: int) -> tuple[list[Any], int] | None:
        """A message of the formats before 2."""
        if not 0 <= magic < 2:
            return self._salvaged(at, self._at)
        # Only these bytes: aiokafka's `MemoryRecords` looks ahead, and raises because of another batch.
        batch = MemoryRecords(self._raw[at : self._at]).next_batch()
        return self._read(batch, at, 0, batch.base_offset, batch.next_offset)

    def _aborted(self, batch: Any, base: int, *, control: bool) -> bool:
        """Whether the batch belongs to an aborted transaction. A marker ends its transaction."""
        of = self.of
        of._consume_aborted_up_to(base)
        if control and of._contains_abort_marker(batch):
            of._aborted_producers.discard(batch.producer_id)
        return batch.producer_id in of._aborted_producers

    def _salvaged(self, at: int, end: int) -> tuple[list[Any], int]:
        tp, first = self.of._tp, self.of.next_fetch_offset
        self._over = True
        last = max(first, min(last_offset(self._raw, at, end), self._highwater - 1))
        return list(salvage(tp.topic, tp.partition, self._raw[at:end], first, last)), last + 1

    def _give_up(self, why: str) -> tuple[list[Any], int]:
        tp, first = self.of._tp, self.of.next_fetch_offset
        self._over = True
        return [Unreadable(tp.topic, tp.partition, first, first, why)], first + 1


class OneByOne:
    """The records of a fetch one by one, as aiokafka's consumers return them."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self._left: Iterator[Any] = iter(())
        self._behind = -1

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        of = self.batches.of
        while True:
            for record in self._left:
                of.next_fetch_offset = record.offset + 1
                return record if isinstance(record, Unreadable) else of._consumer_record(of._tp, record)
            if self._behind >= 0:
                of.next_fetch_offset = self._behind
            given = self.batches.next()
            if given is None:
                raise StopIteration
            records, self._behind = given
            self._left = iter(records)


class ByBatch:
    """The records of a fetch in lists of whole record batches, each at least `max_records` long except the last."""

    def __init__(self, batches: Batches, max_records: int) -> None:
        self._batches = batches
        self._max = max_records

    def __iter__(self) -> Iterator[list[Any]]:
        return self

    def __next__(self) -> list[Any]:
        found: list[Any] = []
        while len(found) < self._max and (given := self._batches.next()) is not None:
            records, self._batches.of.next_fetch_offset = given
            found += records
        if not found:
            raise StopIteration
        return found


def _from(records: list[Any], offset: int) -> list[Any]:
    return [record for record in records if record.offset >= offset]


def missing_codec(raw: bytes, at: int) -> str:
    """The codec of the batch at `at` if its library is not installed; else empty."""
    if len(raw) - at <= FRAME + LEAST_LENGTH:
        return ""
    name, there, _ = CODECS.get(attributes(raw, at) & CODEC, ("", _always, None))
    return "" if there() else name


def _always() -> bool:
    return True
