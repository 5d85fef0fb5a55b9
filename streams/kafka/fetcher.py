"""Fetching for aiokafka consumers: committed records only, one by one or in batches, and `Unreadable` placeholders.

A damaged batch, an unknown codec or a header name that is not UTF-8 makes aiokafka's unpacking raise, again on every
fetch: the partition stalls, and records of other partitions taken in the same call are lost. This module raises none
of these errors. `tolerate` replaces how a fetch is unpacked: a batch that aiokafka cannot read is read record by record
(`streams.kafka.salvage`), with an `Unreadable` in place of what cannot be read. Only a codec whose library is not
installed (`CodecMissing`) or a log that the broker itself cannot read (`LogDamaged`) is an error: then nothing is
skipped.

aiokafka makes an object with eleven fields of each record, one by one, which costs more than reading it. `fetched`
gives a lane the records as they lie in their batches instead, each with its offset, key and value, unpacked in one go.
The rest of aiokafka stays: when it fetches, what it prefetches, and what a rebalance or a seek discards.
"""

import asyncio
from collections import OrderedDict
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, RecordTooLargeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from schemas.errors import Refusal
from streams.errors import CodecMissing, LogDamaged
from streams.kafka.record_batches import Batches, ByBatch, OneByOne, missing_codec
from streams.unreadable import Unreadable

PAUSE_SECONDS = 0.1
"""Pause before a partition that the broker could not read is fetched again."""

COMMITTED = "read_committed"
"""The isolation level of every consumer: records of aborted or open transactions are not read."""


class Reader(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's consumer as Ouzel reads with it: committed records, and `Unreadable` for unreadable ones.

    Raises `CannotRead` where records cannot be read for now.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(isolation_level=COMMITTED, **options)

    async def start(self) -> None:
        await super().start()
        tolerate(self)


def tolerate(consumer: Any) -> None:
    """Make a consumer that was just started return `Unreadable` instead of raising."""
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
    """Records, and the offset after everything taken, including aborted records and markers; -1 if nothing was
    taken."""

    records: list[Any]
    past: int


async def fetched(fetcher: Any, tp: TopicPartition, max_records: int, timeout: float) -> Fetched:
    """The next records: at least `max_records`, up to the end of the last one's batch, or fewer. Waits `timeout` s for
    the first.

    Raises the fetcher's errors: a missing authorization, a codec that is not installed.
    """
    deadline = fetcher._loop.time() + timeout
    while tp not in fetcher._records and (left := deadline - fetcher._loop.time()) > 0:
        waiter = fetcher._create_fetch_waiter()
        try:
            await asyncio.wait([waiter], timeout=left)
        finally:
            waiter.cancel()
        if waiter.done() and not waiter.cancelled():
            waiter.result()  # raises if reading is not allowed
    held, records = fetcher._records.get(tp), None
    if isinstance(held, FetchResult) and held.has_more() and held.check_assignment(tp):
        records = held._partition_records
        if isinstance(records._records_iterator, OneByOne):
            records._records_iterator = ByBatch(records._records_iterator.batches, max_records)
    # A "record" is now a list of them; a result that was replaced meanwhile may still give plain ones.
    found: list[Any] = (await fetcher.fetched_records([tp], max_records=1)).get(tp, [])
    if found and isinstance(found[0], list):
        found = found[0]
    return Fetched(found, -1 if records is None else records.next_fetch_offset)


class _Held(OrderedDict[TopicPartition, Any]):
    """A fetcher's pending results, each unpacked by this module."""

    def __init__(self, fetcher: Any) -> None:
        super().__init__()
        self._fetcher = fetcher
        self._arrived: dict[TopicPartition, tuple[bytes, int]] = {}

    def arrived(self, response: Any) -> None:
        """Keep the bytes of a response; aiokafka makes results of them before anything else arrives."""
        self._arrived.clear()
        for topic, partitions in response.topics:
            for partition, error, highwater, *_, raw in partitions:
                tp = TopicPartition(topic, partition)
                if error == CorruptRecordException.errno and tp not in self:
                    # aiokafka would retry for ever without a word.
                    super().__setitem__(tp, FetchError(error=self._damaged(tp), backoff=PAUSE_SECONDS))
                elif raw:
                    self._arrived[tp] = (raw, highwater)

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        super().__setitem__(tp, self._unpacked(tp, result))

    def _unpacked(self, tp: TopicPartition, result: Any) -> Any:
        raw, highwater = self._arrived.pop(tp, (b"", 0))
        if isinstance(result, FetchResult):
            records = result._partition_records
            missing = missing_codec(raw, 0)
            if missing:
                return FetchError(
                    error=CodecMissing(
                        f"{tp.topic} partition {tp.partition} offset {records.next_fetch_offset}: the records are "
                        f"compressed with {missing}, and the library for it is not installed. Install it "
                        "(pip install cramjam) and restart the worker; nothing is skipped"
                    ),
                    backoff=result._backoff,
                )
            records._records_iterator = OneByOne(Batches(records, raw, highwater))
        elif isinstance(result, FetchError) and isinstance(result._error, RecordTooLargeError):
            return self._too_large(tp, result)
        return result

    def _damaged(self, tp: TopicPartition) -> LogDamaged:
        at = self._fetcher._subscriptions.subscription.assignment.state_value(tp).position
        return LogDamaged(
            f"{tp.topic} partition {tp.partition} offset {at}: the broker cannot read its own log there. Have another "
            "replica lead the partition, or let the group begin behind the damage (kafka-consumer-groups.sh "
            "--reset-offsets)"
        )

    def _too_large(self, tp: TopicPartition, error: FetchError) -> FetchResult:
        """A result that reports the record at the current offset, which aiokafka steps over, as too large."""
        fetcher = self._fetcher
        assignment = fetcher._subscriptions.subscription.assignment
        at = assignment.state_value(tp).position
        why = f"its batch is larger than a fetch ({fetcher._max_partition_fetch_bytes} bytes): raise OUZEL_FETCH_MAX_MB"
        records = PartitionRecords(tp, MemoryRecords(b""), None, at + 1, None, None, True, fetcher._isolation_level)
        records._records_iterator = iter([Unreadable(tp.topic, tp.partition, at, at, why, code=Refusal.TOO_LARGE)])
        return FetchResult(tp, assignment=assignment, partition_records=records, backoff=error._backoff)
