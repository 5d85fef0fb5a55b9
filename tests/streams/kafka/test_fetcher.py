"""Records by record batch: the same as aiokafka's unpacking, whatever the batches and wherever a fetch begins.

Batches that it cannot read are read record by record, with an `Unreadable` in place of damaged records.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition, codec
from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    FetchError,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException, RecordTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refusal
from streams.errors import CodecMissing, LogDamaged
from streams.kafka.fetcher import _Held
from streams.kafka.record_batches import SLACK, Batches, ByBatch, OneByOne
from streams.unreadable import Unreadable

TP = TopicPartition("events", 0)
PRODUCER = 77


def batch(
    offset: int,
    size: int,
    *,
    compression: int = 0,
    producer: int = -1,
    headers: dict[int, list[Any]] | None = None,
    damage: Callable[[bytearray], None] | None = None,
    checked: bool = True,
) -> bytes:
    """A record batch of `size` records; `damage` changes its bytes, and `checked` makes the checksum fit again."""
    builder = DefaultRecordBatchBuilder(2, compression, producer >= 0, producer, 0, 0, 1 << 20)
    for at in range(size):
        more = (headers or {}).get(at, [])
        builder.append(at, timestamp=7, key=b"k%d" % at, value=b"v%d" % (offset + at), headers=more)
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")  # outside the checksum
    if damage is not None:
        damage(raw)
        if checked:
            raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def marker(offset: int, kind: int, producer: int = PRODUCER) -> bytes:
    """The control batch that ends a transaction: 0 aborts, 1 commits."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 20)
    builder.append(0, timestamp=7, key=kind.to_bytes(4, "big"), value=b"\x00" * 6, headers=[])
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")
    raw[22] |= 0x20
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def records_of(
    raw: bytes, begin: int = 0, aborted: list[tuple[int, int]] | None = None, level: int = READ_COMMITTED
) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(raw), aborted or [], begin, None, None, True, level)


def unpack(raw: bytes, begin: int = 0, *, aborted: list[tuple[int, int]] | None = None, end: int = 1_000) -> list[Any]:
    """The records that a reader gets by fetching repeatedly: the same one by one and by batch."""
    plain: list[Any] = []
    by_batch: list[Any] = []
    for found, one_by_one in ((plain, True), (by_batch, False)):
        at, before = begin, -1
        while at > before and (rest := _from(raw, at)):
            records = records_of(rest, at, aborted)
            batches = Batches(records, rest, end)
            found.extend(OneByOne(batches) if one_by_one else (each for of in ByBatch(batches, 3) for each in of))
            before, at = at, records.next_fetch_offset
    assert list(map(seen, plain)) == list(map(seen, by_batch))
    return plain


def _from(raw: bytes, offset: int) -> bytes:
    """The bytes that the broker sends from `offset` on: whole batches."""
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at + 8 : at + 12], "big", signed=True)
        if not 49 <= length <= len(raw):
            return raw[at:]
        base, delta = int.from_bytes(raw[at : at + 8], "big"), int.from_bytes(raw[at + 23 : at + 27], "big")
        if base + min(delta, 100) >= offset:
            return raw[at:]
        at += 12 + length
    return b""


def seen(record: Any) -> Any:
    if isinstance(record, Unreadable):
        return record.first, record.offset
    return record.offset, bytes(record.value)


def good(first: int, last: int) -> list[Any]:
    return [(offset, b"v%d" % offset) for offset in range(first, last + 1)]


def fetch(sizes: list[int], begin: int) -> tuple[PartitionRecords, bytes]:
    """The broker's answer: record batches of these sizes, of which the reader wants offsets from `begin`."""
    raw, offset = b"", 0
    for size in sizes:
        raw += batch(offset, size)
        offset += size
    return records_of(raw, begin, level=READ_UNCOMMITTED), raw


sizes = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(sizes, st.integers(0, 12), st.integers(1, 7))
def test_batches_hold_the_same_records_as_one_by_one(sizes: list[int], begin: int, limit: int) -> None:
    begin = min(begin, sizes[0] - 1)  # a fetch begins with the batch that contains the wanted offset
    expected, _ = fetch(sizes, begin)
    found, raw = fetch(sizes, begin)
    lists = list(ByBatch(Batches(found, raw, 100), limit))
    assert [(r.offset, r.key, r.value) for each in lists for r in each] == [
        (r.offset, r.key, r.value) for r in expected
    ]
    assert found.next_fetch_offset == expected.next_fetch_offset == sum(sizes)
    assert all(limit <= len(each) < limit + max(sizes) for each in lists[:-1])


@given(sizes, st.integers(0, 12))
def test_one_by_one_gives_aiokafka_records(sizes: list[int], begin: int) -> None:
    begin = min(begin, sizes[0] - 1)
    expected, _ = fetch(sizes, begin)
    found, raw = fetch(sizes, begin)
    assert list(OneByOne(Batches(found, raw, 100))) == list(expected)
    assert found.next_fetch_offset == expected.next_fetch_offset


def test_batch_of_thousands_is_read() -> None:
    records, raw = fetch([5_000], 10)
    (found,) = ByBatch(Batches(records, raw, 5_000), 100)
    assert [record.offset for record in found] == list(range(10, 5_000))


@pytest.mark.parametrize("compression", range(5))
def test_every_codec_is_read(compression: int) -> None:
    raw = batch(0, 3, compression=compression)
    assert list(map(seen, unpack(raw))) == good(0, 2)


def test_aborted_transactions_are_skipped() -> None:
    raw = (
        batch(0, 2)
        + batch(2, 2, producer=PRODUCER)  # aborted
        + batch(4, 1)  # of another producer, in between
        + marker(5, 0)
        + batch(6, 2, producer=PRODUCER)  # the next transaction of the same producer, committed
        + marker(8, 1)
    )
    aborted = [(PRODUCER, 2)]
    assert list(map(seen, unpack(raw, aborted=aborted))) == [*good(0, 1), *good(4, 4), *good(6, 7)]
    records = records_of(raw, 0, aborted)
    list(ByBatch(Batches(records, raw, 9), 100))
    assert records.next_fetch_offset == 9, "the lag is 0 after a marker"


def flip_last(raw: bytearray) -> None:
    raw[-1] ^= 1


def test_wrong_checksum_loses_only_its_batch() -> None:
    raw = batch(0, 2) + batch(2, 2, damage=flip_last, checked=False) + batch(4, 2)
    found = unpack(raw)
    assert list(map(seen, found)) == [*good(0, 1), (2, 3), *good(4, 5)]
    assert "checksum" in found[2].why
    assert (found[2].code, found[2].topic, found[2].partition) == (Refusal.UNREADABLE, "events", 0)


def test_reader_within_a_damaged_batch_loses_only_its_rest() -> None:
    """A reader whose position was within the batch gets an `Unreadable` for the rest."""
    assert list(map(seen, unpack(batch(0, 4, damage=flip_last, checked=False), 2))) == [(2, 3)]


def test_header_name_that_is_not_utf_8_loses_nothing() -> None:
    def latin(raw: bytearray) -> None:
        at = raw.find("éé".encode())
        raw[at : at + 4] = b"\xe9" * 4

    raw = batch(0, 3, headers={1: [("éé", b"x")]}, damage=latin) + batch(3, 1)
    assert list(map(seen, unpack(raw))) == good(0, 3)


def test_damaged_record_loses_only_itself() -> None:
    def longer_key(raw: bytearray) -> None:
        at = raw.find(b"k1")
        raw[at - 1] = 0x7E  # its key would be 63 bytes long, which is more than the record has

    assert list(map(seen, unpack(batch(0, 3, damage=longer_key) + batch(3, 1)))) == [(0, b"v0"), (1, 1), *good(2, 3)]


def test_damaged_length_loses_the_rest_of_the_batch() -> None:
    def longer(raw: bytearray) -> None:
        at = raw.find(b"k1")
        raw[at - 6 : at - 4] = b"\xfe\x7f"

    found = unpack(batch(0, 4, damage=longer) + batch(4, 1))
    assert list(map(seen, found))[-1:] == good(4, 4)
    assert {offset for each in found for offset in range(getattr(each, "first", each.offset), each.offset + 1)} == set(
        range(5)
    )


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda raw: raw.__setitem__(22, 5), "compression (5)", id="codec"),
        pytest.param(lambda raw: raw.__setitem__(22, 3), "lz4 data", id="not what the codec says"),
        pytest.param(lambda raw: raw.__setitem__(16, 3), "format (3)", id="newer format"),
        pytest.param(lambda raw: raw.__setitem__(16, 0xFF), "format (255)", id="no format"),
        pytest.param(lambda raw: raw.__setitem__(16, 1), "format (1)", id="older format"),
    ],
)
def test_unreadable_batch_states_the_reason(damage: Callable[[bytearray], None], says: str) -> None:
    found = unpack(batch(0, 1) + batch(1, 3, damage=damage) + batch(4, 1))
    assert list(map(seen, found)) == [*good(0, 0), (1, 3), *good(4, 4)]
    assert says in found[1].detail
    assert "offsets 1 to 3" in found[1].detail


def test_wrong_count_does_not_lose_the_next_batch() -> None:
    def count(raw: bytearray) -> None:
        raw[57:61] = (9).to_bytes(4, "big")

    assert list(map(seen, unpack(batch(0, 2, damage=count) + batch(2, 1))))[-1:] == good(2, 2)


def test_damaged_header_does_not_skip_beyond_the_end() -> None:
    """A damaged header may name an offset far beyond the end, where a reader would wait for ever."""

    def far(raw: bytearray) -> None:
        raw[23:27] = (1 << 30).to_bytes(4, "big")
        raw[57:61] = ((1 << 30) + 1).to_bytes(4, "big")

    raw = batch(0, 2, damage=far, checked=False)
    records = records_of(raw)
    (found,) = OneByOne(Batches(records, raw, 2))
    assert (found.first, found.offset, records.next_fetch_offset) == (0, 1, 2)


@given(st.data())
def test_reader_advances_whatever_is_damaged(data: st.DataObject) -> None:
    raw = bytearray(batch(0, 2) + batch(2, 3, compression=data.draw(st.sampled_from([0, 1, 3]))) + batch(5, 1))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    records = records_of(bytes(raw))
    if records._records.has_next():
        for record in OneByOne(Batches(records, bytes(raw), 6)):
            assert record.offset < 6 + SLACK
        assert records.next_fetch_offset > 0 or int.from_bytes(raw[8:12], "big", signed=True) > len(raw) - 12


class Fetcher(SimpleNamespace):
    """The parts of a fetcher that its results need."""

    def __init__(self, position: int) -> None:
        state = SimpleNamespace(position=position, paused=False)
        self.assignment = SimpleNamespace(active=True, state_value=lambda _: state)
        super().__init__(
            _subscriptions=SimpleNamespace(subscription=SimpleNamespace(assignment=self.assignment)),
            _max_partition_fetch_bytes=1_000,
            _isolation_level=READ_COMMITTED,
        )


def put(held: _Held, fetcher: Fetcher, raw: bytes, begin: int) -> Any:
    response = SimpleNamespace(topics=[(TP.topic, [(TP.partition, 0, 100, 100, [], raw)])])
    held.arrived(response)
    held[TP] = FetchResult(TP, assignment=fetcher.assignment, partition_records=records_of(raw, begin), backoff=0.1)
    return held[TP]


@pytest.mark.parametrize(("name", "compression"), [("snappy", 2), ("lz4", 3), ("zstd", 4)])
def test_missing_codec_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str, compression: int) -> None:
    fetcher = Fetcher(5)
    held = _Held(fetcher)
    raw = batch(5, 2) + batch(7, 2, compression=compression)
    monkeypatch.setattr(codec, "cramjam", None)
    assert list(map(seen, put(held, fetcher, raw, 5)._partition_records)) == good(5, 6), "earlier records come first"
    result = put(held, fetcher, raw[len(batch(5, 2)) :], 7)
    assert isinstance(result, FetchError)
    with pytest.raises(CodecMissing, match=f"events partition 0 offset 7: .* {name}.*pip install cramjam"):
        result.check_raise()
    monkeypatch.undo()
    assert list(map(seen, put(held, fetcher, raw, 7)._partition_records)) == good(7, 8), "nothing was skipped"


def test_damaged_log_is_an_error_with_its_offset() -> None:
    fetcher = Fetcher(5)
    held = _Held(fetcher)
    held.arrived(SimpleNamespace(topics=[(TP.topic, [(TP.partition, CorruptRecordException.errno, -1, -1, [], b"")])]))
    with pytest.raises(LogDamaged, match=r"events partition 0 offset 5: .*--reset-offsets"):
        held[TP].check_raise()


def test_record_larger_than_a_fetch_is_skipped() -> None:
    """Brokers since 0.10.1 send such a record anyway."""
    fetcher = Fetcher(5)
    held = _Held(fetcher)
    held[TP] = FetchError(error=RecordTooLargeError(), backoff=0.1)
    (found,) = held[TP]._partition_records
    assert (found.first, found.offset, found.code) == (5, 5, Refusal.TOO_LARGE)
    assert "OUZEL_FETCH_MAX_MB" in found.detail
