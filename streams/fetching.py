"""The records of one partition from aiokafka's fetcher, record batch by record batch.

aiokafka makes an object of eleven fields of each record, one by one, which costs more than to read it. Here a record is
what lies in its batch, with its offset, key and value, and a batch is unpacked in one go. What aiokafka does around it
stays: when a fetch is asked for, what is prefetched, what a rebalance or a seek throws away, checksums, errors.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException


async def fetched(fetcher: Any, tp: TopicPartition, max_records: int, timeout: float) -> list[Any]:
    """The next records: `max_records` and what is left of the last one's batch, or fewer. Waits `timeout` s for some.

    Raises what the fetcher does: an authorization that is missing, a checksum that is wrong.
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
    held = fetcher._records.get(tp)
    if isinstance(held, FetchResult) and held.has_more():
        _unpack_by_batch(held._partition_records, max_records)
    # One "record" is a list of them now; a result that was replaced meanwhile may still give plain ones.
    found: list[Any] = (await fetcher.fetched_records([tp], max_records=1)).get(tp, [])
    return found[0] if found and isinstance(found[0], list) else found


def _unpack_by_batch(records: Any, max_records: int) -> None:
    """Have aiokafka's `PartitionRecords` give lists of records, unless that was done before."""
    if records._isolation_level == READ_COMMITTED or isinstance(records._records_iterator, _ByBatch):
        return
    records._records_iterator = _ByBatch(records, max_records)


class _ByBatch:
    """The records of a fetch in lists that end with a record batch, each at least `max_records` long but the last.

    It keeps `next_fetch_offset` as `PartitionRecords._unpack_records` does.
    """

    def __init__(self, records: Any, max_records: int) -> None:
        self._of = records
        self._max = max_records
        self._corrupt = False

    def __iter__(self) -> Iterator[list[Any]]:
        return self

    def __next__(self) -> list[Any]:
        of = self._of
        found: list[Any] = []
        while not self._corrupt and len(found) < self._max and of._records.has_next():
            batch = of._records.next_batch()
            if of._check_crcs and not batch.validate_crc():
                self._corrupt = True
                break
            if not batch.is_control_batch:
                first = of.next_fetch_offset
                # Not `list`: that is all compiled code, in which no other thread runs until it is through.
                records = [record for record in batch]  # noqa: C416
                # A fetch begins with the whole batch that the wanted offset stands in.
                found += records if not records or records[0].offset >= first else _from(records, first)
            of.next_fetch_offset = batch.next_offset
        if not found:
            if self._corrupt:  # once what is good before it was given
                raise CorruptRecordException(f"Invalid CRC - {of._tp}")
            raise StopIteration
        return found


def _from(records: list[Any], offset: int) -> list[Any]:
    return [record for record in records if record.offset >= offset]
