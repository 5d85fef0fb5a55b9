"""Faults of the broker: stopped or killed and restarted with its data, or its changelog compacted before a recovery."""

import asyncio
import subprocess
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.brokers import Broker, KafkaBroker
from schemas.topics import CONTEXTS, NEIGHBOURS
from tests.faults.load import PARTITIONS
from tests.faults.schedule import Fault
from tests.faults.stage import Stage
from tests.support.patience import PATIENCE

COMPACT_NOW = "min.cleanable.dirty.ratio=0.001,max.compaction.lag.ms=1000,segment.ms=1000"
COMPACT_SECONDS = PATIENCE


async def killed(stage: Stage, fault: Fault) -> float:
    await asyncio.to_thread(stage.broker.kill)
    await asyncio.sleep(fault.hold)
    await stage.broker.start_async()
    return time.monotonic()


async def stopped(stage: Stage, fault: Fault) -> float:
    await asyncio.to_thread(stage.broker.stop)
    await asyncio.sleep(fault.hold)
    await stage.broker.start_async()
    return time.monotonic()


async def compacted(stage: Stage, fault: Fault) -> float:
    """Compact the topics that the state is rebuilt from; then kill the worker and delete its state."""
    before = await _share_left(stage)
    for topic in (CONTEXTS.name, NEIGHBOURS.name):
        await asyncio.to_thread(_compact, stage.broker, topic)
    async with asyncio.timeout(COMPACT_SECONDS):
        while await _share_left(stage) > min(0.9 * before, 0.9):  # noqa: ASYNC110 - no event comes from the broker
            await asyncio.sleep(0.5)
    (name,) = stage.workers
    stage.kill(name)
    at = time.monotonic()
    stage.lose_state(name)
    stage.start(name)
    return at


async def _share_left(stage: Stage) -> float:
    """The share of the changelog's offsets that still have a record."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(CONTEXTS.name, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        count = 0
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                    count += len(records)
        return count / max(1, sum(ends.values()))
    finally:
        await consumer.stop()


def _compact(broker: Broker, topic: str) -> None:
    assert isinstance(broker, KafkaBroker)
    subprocess.run(
        [
            str(broker.home / "bin" / "kafka-configs.sh"),
            *("--bootstrap-server", broker.bootstrap, "--entity-type", "topics", "--entity-name", topic),
            *("--alter", "--add-config", COMPACT_NOW),
        ],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
