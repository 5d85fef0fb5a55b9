"""Records of other producers: compressed with any codec, in transactions, or too large; and records that retention
deletes unread."""

import asyncio
import time
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from deploy.kafka.topics import admin
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.topics import CONTEXTS, COVISITS, EVENTS, FEEDBACK, RECOMMENDATIONS
from streams.state.store import CONTEXT, header
from tests.faults.cluster import FaultyKafka
from tests.faults.load import ITEMS, now_ms, partitioner
from tests.faults.schedule import Fault
from tests.faults.stage import APP, Stage
from tests.faults.verdict import Place
from tests.support.topics import Sent, read_all

CODECS = ("gzip", "snappy", "lz4", "zstd")
COMPRESSED = (EVENTS, CONTEXTS, COVISITS, RECOMMENDATIONS, FEEDBACK)
LARGEST = 10 * 1024 * 1024


def likes(name: str, count: int, users: int, draw: Random) -> list[Sent]:
    """`count` events of `users` separate users."""
    events = [
        Event(
            id=f"{name}-{n}",
            user=f"{name}-user-{n % users}",
            kind=EventKind.LIKE,
            ts=now_ms(),
            item=f"film-{draw.randrange(ITEMS)}",
            scene="home",
        )
        for n in range(count)
    ]
    return [(event.user.encode(), encode(event)) for event in events]


def kafka(stage: Stage) -> FaultyKafka:
    assert isinstance(stage.broker, FaultyKafka), "these faults are scheduled on Apache Kafka only"
    return stage.broker


async def codec(stage: Stage, fault: Fault) -> float:
    """Send with every codec, and let the broker recompress a topic from now on."""
    draw = Random(fault.seed)
    topic, kind = draw.choice(COMPRESSED), draw.choice(CODECS)
    await asyncio.to_thread(kafka(stage).configure, topic.name, compression_type=kind)
    for each in CODECS:
        await stage.load.send_apart(likes(f"{each}-{fault.number}", 40, 5, draw), compression_type=each)
    return time.monotonic()


async def transaction(stage: Stage, fault: Fault) -> float:
    """Send events in two transactions that stay open for a while; one is committed, the other aborted."""
    draw = Random(fault.seed)
    for commit in draw.sample((True, False), 2):
        async with AIOKafkaProducer(
            bootstrap_servers=stage.broker.bootstrap,
            transactional_id=f"faults-{fault.number}-{commit}",
            partitioner=partitioner,
        ) as producer:
            await producer.begin_transaction()
            records = likes(f"{'committed' if commit else 'aborted'}-{fault.number}", 24, 6, draw)
            sent = [await producer.send(EVENTS.name, value, key=key) for key, value in records]
            places = [stage.load.place(each) for each in await asyncio.gather(*sent)]
            await asyncio.sleep(fault.hold)
            if commit:
                await producer.commit_transaction()
                stage.load.accept(places)
            else:
                await producer.abort_transaction()
    return time.monotonic()


async def oversized(stage: Stage, fault: Fault) -> float:
    """Send records of several MB, which the topic accepts but no dead letter can hold."""
    draw = Random(fault.seed)
    await asyncio.to_thread(kafka(stage).configure, EVENTS.name, max_message_bytes=LARGEST)
    sizes = [1_500_000, 3_000_000, draw.randrange(1_100_000, 6_000_000)]
    records: list[Sent] = [(f"large-{n}".encode(), bytes(size)) for n, size in enumerate(sizes)]
    await stage.load.send_apart(records, max_request_size=LARGEST)
    return time.monotonic()


async def retention_gap(stage: Stage, fault: Fault) -> float:
    """Stop the worker, and delete all records of the topic before it restarts."""
    (name,) = stage.workers
    status = await stage.stop(name)
    if status:
        stage.ended.append(f"worker {name} ended with status {status} after SIGTERM")
    await stage.load.send_apart(likes(f"expired-{fault.number}", 40, 20, Random(fault.seed)))
    records, ends, committed = await everything(stage)
    await stage.logged(records)
    folded = await _folded(stage)
    lost: set[Place] = {
        place
        for record in records
        if (place := stage.load.place(record))
        and record.offset >= committed[record.partition]
        and place[1] > folded.get(record.partition, -1)
    }
    stage.archive(records, lost)
    async with admin(stage.broker.bootstrap) as client:
        await client.delete_records(
            {TopicPartition(EVENTS.name, partition): RecordsToDelete(end) for partition, end in ends.items()}
        )
    stage.start(name)
    return time.monotonic()


async def _folded(stage: Stage) -> dict[int, int]:
    """By partition, the last event in any context: a worker may have folded more than it has committed."""
    last: dict[int, int] = {}
    for record in await read_all(stage.broker.bootstrap, CONTEXTS.name):
        if record.value is not None and record.key[:1] == CONTEXT:
            last[record.partition] = max(last.get(record.partition, -1), header(record.value).stamp)
    return last


async def everything(stage: Stage) -> tuple[list[Any], dict[int, int], dict[int, int]]:
    """All current events, the end of each partition, and the group's committed offset."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stage.broker.bootstrap,
        group_id=APP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with consumer:
        partitions = [TopicPartition(EVENTS.name, number) for number in range(stage.partitions)]
        consumer.assign(partitions)
        committed = {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        for tp, end in ends.items():
            while await consumer.position(tp) < end:
                for batch in (await consumer.getmany(tp, timeout_ms=200)).values():
                    records += [record for record in batch if record.offset < end]
        return records, {tp.partition: end for tp, end in ends.items()}, committed
