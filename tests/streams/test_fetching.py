"""Records by record batch: what aiokafka's own unpacking gives, whatever the batches and wherever a fetch begins."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.fetching import _ByBatch, _unpack_by_batch

TP = TopicPartition("events", 0)


def fetch(sizes: list[int], begin: int, damage: int | None = None) -> PartitionRecords:
    """What a broker sends: record batches of these sizes, of which the reader wants those from offset `begin`."""
    parts, offset = [], 0
    for number, size in enumerate(sizes):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
        for at in range(size):
            builder.append(at, timestamp=7, key=b"k%d" % at, value=b"v%d" % (offset + at), headers=[])
        raw = bytearray(builder.build())
        raw[0:8] = offset.to_bytes(8, "big")  # outside the checksum
        if number == damage:
            raw[-1] ^= 1
        parts.append(bytes(raw))
        offset += size
    return PartitionRecords(TP, MemoryRecords(b"".join(parts)), [], begin, None, None, True, READ_UNCOMMITTED)


def plain(records: PartitionRecords) -> list[tuple[int, bytes, bytes]]:
    return [(each.offset, each.key, each.value) for each in records]


def by_batch(records: PartitionRecords, limit: int) -> list[list[Any]]:
    _unpack_by_batch(records, limit)
    assert isinstance(records._records_iterator, _ByBatch)
    return list(records)


sizes = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(sizes, st.integers(0, 12), st.integers(1, 7))
def test_gives_what_one_by_one_gives(sizes: list[int], begin: int, limit: int) -> None:
    begin = min(begin, sizes[0] - 1)  # a fetch begins with the batch that the wanted offset stands in
    expected, found = fetch(sizes, begin), fetch(sizes, begin)
    lists = by_batch(found, limit)
    assert [(r.offset, r.key, r.value) for each in lists for r in each] == plain(expected)
    assert found.next_fetch_offset == expected.next_fetch_offset == sum(sizes)
    assert all(limit <= len(each) < limit + max(sizes) for each in lists[:-1])


def test_a_batch_of_thousands() -> None:
    (found,) = by_batch(fetch([5_000], 10), 100)
    assert [record.offset for record in found] == list(range(10, 5_000))


def test_a_wrong_checksum_is_raised_after_what_is_good() -> None:
    records = fetch([2, 2, 2], 0, damage=1)
    _unpack_by_batch(records, 100)
    assert [r.offset for r in next(records)] == [0, 1]
    assert records.next_fetch_offset == 2
    with pytest.raises(CorruptRecordException):
        next(records)
