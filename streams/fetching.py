"""What aiokafka's fetcher gives: committed records only, by the record or by the batch, and what cannot be read.

A damaged batch, an unknown codec or a header whose name is not UTF-8 raises in aiokafka's unpacking, again at every
fetch: the partition stands still, and what was taken of other partitions in the same call is lost. Here nothing of
that is raised. `tolerate` replaces how a fetch is unpacked: a batch that aiokafka cannot read is read record by record
(`streams.salvage`), and an `Unreadable` takes the place of what cannot be. Only a codec whose library is not installed
is an error (`CodecMissing`): those records are read once it is.

aiokafka makes an object of eleven fields of each record, one by one, which costs more than to read it. `fetched` gives
a lane the records as they lie in their batches instead, each with its offset, key and value, unpacked in one go. What
aiokafka does around it stays: when a fetch is asked for, what is prefetched, what a rebalance or a seek throws away.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult, PartitionRecords
from aiokafka.errors import RecordTooLargeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from schemas.errors import Refusal
from streams.errors import CodecMissing
from streams.salvage import CODEC, CODECS, CONTROL, FRAME, TRANSACTIONAL, attributes, last_offset, salvage
from streams.unreadable import Unreadable

COMMITTED = "read_committed"
"""The isolation level of every consumer: records of transactions that were aborted, or are still open, are not read."""

LEAST_LENGTH = 14
"""Bytes behind the frame of the shortest batch; less is damage."""


SLACK = 4096
"""By how many offsets a batch may go beyond the partition's end, which a broker may look up before the records."""


class Reader(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's consumer as Ouzel reads with it: committed records, and `Unreadable` for what cannot be read.

    Raises `CodecMissing` where records cannot be read before a library is installed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(isolation_level=COMMITTED, **options)

    async def start(self) -> None:
        await super().start()
        tolerate(self)


def tolerate(consumer: Any) -> None:
    """Have a consumer that was just started give `Unreadable` instead of raising."""
    fetcher, client = consumer._fetcher, consumer._client
    held = fetcher._records = _Held(fetcher)
    send = client.send

    async def keeping(node_id: Any, request: Any, **options: Any) -> Any:
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            held.arrived(response)
        return response

    client.send = keeping


class Fetched(NamedTuple):
    """Records, and the offset behind everything that was taken, of which aborted ones and markers are part; -1 if
    nothing was taken."""

    records: list[Any]
    past: int


async def fetched(fetcher: Any, tp: TopicPartition, max_records: int, timeout: float) -> Fetched:
    """The next records: `max_records` and what is left of the last one's batch, or fewer. Waits `timeout` s for some.

    Raises what the fetcher does: an authorization that is missing, a codec that is not installed.
    """
    deadline = fetcher._loop.time() + timeout
    while tp not in fetcher._records and (left := deadline - fetcher._loop.time()) > 0:
        waiter = fetcher._create_fetch_waiter()
        try:
            await asyncio.wait([waiter], timeout=left)
        finally:
            waiter.cancel()
        if waiter.done() and not waiter.cancelled():
            waiter.result()  # raises where we may not read
    held, records = fetcher._records.get(tp), None
    if isinstance(held, FetchResult) and held.has_more() and held.check_assignment(tp):
        records = held._partition_records
        if isinstance(records._records_iterator, _OneByOne):
            records._records_iterator = _ByBatch(records._records_iterator.batches, max_records)
    # One "record" is a list of them now; a result that was replaced meanwhile may still give plain ones.
    found: list[Any] = (await fetcher.fetched_records([tp], max_records=1)).get(tp, [])
    if found and isinstance(found[0], list):
        found = found[0]
    return Fetched(found, -1 if records is None else records.next_fetch_offset)


class _Held(OrderedDict[TopicPartition, Any]):
    """A fetcher's results that were not taken yet, each unpacked as this module does it."""

    def __init__(self, fetcher: Any) -> None:
        super().__init__()
        self._fetcher = fetcher
        self._arrived: dict[TopicPartition, tuple[bytes, int]] = {}

    def arrived(self, response: Any) -> None:
        """Note the bytes of a response; aiokafka makes results of them before anything else comes."""
        self._arrived.clear()
        for topic, partitions in response.topics:
            for partition, _, highwater, *_, raw in partitions:
                if raw:
                    self._arrived[TopicPartition(topic, partition)] = (raw, highwater)

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        super().__setitem__(tp, self._unpacked(tp, result))

    def _unpacked(self, tp: TopicPartition, result: Any) -> Any:
        raw, highwater = self._arrived.pop(tp, (b"", 0))
        if isinstance(result, FetchResult):
            records = result._partition_records
            missing = _missing_codec(raw, 0)
            if missing:
                return FetchError(
                    error=CodecMissing(
                        f"{tp.topic} partition {tp.partition} offset {records.next_fetch_offset}: the records are "
                        f"compressed with {missing}, and the library for it is not installed. Install it "
                        "(pip install cramjam) and start again; nothing is skipped"
                    ),
                    backoff=result._backoff,
                )
            records._records_iterator = _OneByOne(Batches(records, raw, highwater))
        elif isinstance(result, FetchError) and isinstance(result._error, RecordTooLargeError):
            return self._too_large(tp, result)
        return result

    def _too_large(self, tp: TopicPartition, error: FetchError) -> FetchResult:
        """A result that says of the record at the current offset, which aiokafka steps over, that it did not fit."""
        fetcher = self._fetcher
        assignment = fetcher._subscriptions.subscription.assignment
        at = assignment.state_value(tp).position
        why = f"its batch is larger than a fetch ({fetcher._max_partition_fetch_bytes} bytes): raise OUZEL_FETCH_MAX_MB"
        records = PartitionRecords(tp, MemoryRecords(b""), None, at + 1, None, None, True, fetcher._isolation_level)
        records._records_iterator = iter([Unreadable(tp.topic, tp.partition, at, at, why, code=Refusal.TOO_LARGE)])
        return FetchResult(tp, assignment=assignment, partition_records=records, backoff=error._backoff)


class Batches:
    """The record batches of a fetch that hold anything to read. Keeps `next_fetch_offset` of `records`, aiokafka's, as
    its own unpacking does, but for the batch that was given last: whoever takes it does.

    `raw` are the bytes that `records` was made of, `highwater` is the end of the partition.
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
        """The records of the next batch, from the wanted offset on, and the offset behind it; None at the end.

        It ends behind a batch that cannot be read whole and before one whose codec is not installed: what follows is
        fetched again, with what the broker knows of transactions from there on.
        """
        raw = self._raw
        while not self._over and len(raw) - self._at >= FRAME:
            at = self._at
            length = int.from_bytes(raw[at + 8 : at + FRAME], "big", signed=True)
            end = at + FRAME + length
            if end > len(raw) or _missing_codec(raw, at):
                break
            if length < LEAST_LENGTH:
                return self._give_up(f"the length of its batch ({length}) is impossible, so it was damaged")
            self._at = end
            try:
                given = self._read(at, end)
            except Exception:  # whatever damage or a library raises: what can be read, is
                given = self._salvaged(at, end)
            if given is not None:
                return given
        stands = not self._over and self._at > 0 and self.of.next_fetch_offset == self._start
        self._over = True
        if stands and self._start < self._highwater:
            return self._give_up("the broker sends only what stands before it, so its offsets are damaged")
        return None

    def _read(self, at: int, end: int) -> tuple[list[Any], int] | None:
        """The records of the batch in these bytes and the offset behind it; None if none of them is to be read."""
        of, raw = self.of, self._raw
        magic = raw[at + 16]
        # Not from aiokafka's `MemoryRecords`: that looks ahead, and so raises on account of another batch.
        batch = DefaultRecordBatch(self._view[at:end]) if magic == 2 else _older(raw[at:end], magic)
        if batch is None or not batch.validate_crc():
            return self._salvaged(at, end)
        first, behind = of.next_fetch_offset, batch.next_offset
        if behind > max(self._highwater, first) + SLACK:  # the first offset is the one number that no checksum is of
            return self._give_up(f"its batch says that it ends at offset {behind}, behind the partition's end")
        if behind <= first:
            return None
        flags = attributes(raw, at)
        skip = bool(flags & CONTROL)
        if flags & TRANSACTIONAL and of._isolation_level == READ_COMMITTED:
            skip = self._aborted(batch, control=skip) or skip
        if skip:
            of.next_fetch_offset = behind
            return None
        # Not `list`: that is all compiled code, in which no other thread runs until it is through.
        records = [record for record in batch]  # noqa: C416
        # A fetch begins with the whole batch that the wanted offset stands in.
        return records if not records or records[0].offset >= first else _from(records, first), behind

    def _aborted(self, batch: Any, *, control: bool) -> bool:
        """Whether the batch is of a transaction that was aborted. A marker ends what it is of."""
        of = self.of
        of._consume_aborted_up_to(batch.base_offset)
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


class _OneByOne:
    """The records of a fetch as aiokafka's consumers give them."""

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


class _ByBatch:
    """The records of a fetch in lists that end with a record batch, each at least `max_records` long but the last."""

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


def _missing_codec(raw: bytes, at: int) -> str:
    """The codec of the batch at `at` if its library is not installed; else empty."""
    if len(raw) - at <= FRAME + LEAST_LENGTH:
        return ""
    name, there, _ = CODECS.get(attributes(raw, at) & CODEC, ("", _always, None))
    return "" if there() else name


def _older(raw: bytes, magic: int) -> Any:
    """A message of the formats before 2; None if it is of a later one."""
    return MemoryRecords(raw).next_batch() if magic < 2 else None


def _always() -> bool:
    return True
