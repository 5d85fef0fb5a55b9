"""Plain Kafka clients that write and read whole topics."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import EVENTS
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import partitions_of
from tests.support.patience import PATIENCE

Sent = tuple[bytes | None, bytes | None]
"""The key and the value of a record."""


async def send_all(bootstrap: str, records: Iterable[Sent], topic: str = EVENTS.name) -> None:
    """Write records, and wait until the broker has them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_request_size=2_000_000)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key=key) for key, value in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str, quiet_ms: int = 400) -> list[Any]:
    """Everything on a topic, by partition in order, until nothing comes for `quiet_ms`: end offsets can be wrong."""
    consumer = await _reader(bootstrap, topic)
    try:
        records: dict[int, list[Any]] = {}
        while batches := await consumer.getmany(timeout_ms=quiet_ms):
            for tp, batch in batches.items():
                records.setdefault(tp.partition, []).extend(batch)
        return [record for partition in sorted(records) for record in records[partition]]
    finally:
        await consumer.stop()


async def follow(bootstrap: str, topic: str, count: int) -> None:
    """Return the moment that the topic holds `count` records."""
    async with asyncio.timeout(PATIENCE):
        consumer = await _reader(bootstrap, topic)
        try:
            while count > 0:
                count -= sum(len(batch) for batch in (await consumer.getmany(timeout_ms=400)).values())
        finally:
            await consumer.stop()


async def _reader(bootstrap: str, topic: str) -> Any:
    """A consumer of all partitions of a topic, at their beginning."""
    consumer = Reader(bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50)
    await consumer.start()
    partitions = await partitions_of(consumer, topic)
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    return consumer


async def committed(bootstrap: str, group: str) -> dict[int, int]:
    """The committed offset of each partition of the events, where there is one."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(EVENTS.name, p) for p in range(4)]
        consumer.assign(partitions)
        return {tp.partition: offset for tp in partitions if (offset := await consumer.committed(tp)) is not None}
    finally:
        await consumer.stop()
