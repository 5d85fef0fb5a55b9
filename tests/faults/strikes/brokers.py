"""The broker stopped, killed and started again with its data; and its changelog compacted before a recovery."""

import asyncio
import subprocess
import time

from deploy.brokers import KafkaBroker
from schemas.topics import CONTEXTS, NEIGHBOURS
from tests.faults.schedule import Fault
from tests.faults.stage import Stage
from tests.streams.plane import read_all

COMPACT_NOW = "min.cleanable.dirty.ratio=0.001,max.compaction.lag.ms=1000,segment.ms=1000"
COMPACT_SECONDS = 60.0


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
    """Have the broker compact what the state is rebuilt from; then the worker dies and loses its disk."""
    for topic in (CONTEXTS.name, NEIGHBOURS.name):
        await asyncio.to_thread(_compact, stage.broker, topic)
    before = await _share_left(stage)
    async with asyncio.timeout(COMPACT_SECONDS):
        while await _share_left(stage) > min(0.9 * before, 0.9):
            await asyncio.sleep(0.5)
    (name,) = stage.workers
    stage.kill(name)
    at = time.monotonic()
    stage.lose_state(name)
    stage.start(name)
    return at


async def _share_left(stage: Stage) -> float:
    """The share of the changelog's offsets that still have a record."""
    records = await read_all(stage.broker.bootstrap, CONTEXTS.name, quiet_ms=1_000)
    ends: dict[int, int] = {}
    for record in records:
        ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
    return len(records) / max(1, sum(ends.values()))


def _compact(broker: KafkaBroker, topic: str) -> None:
    subprocess.run(
        [
            str(broker.home / "bin" / "kafka-configs.sh"),
            *("--bootstrap-server", broker.bootstrap, "--entity-type", "topics", "--entity-name", topic),
            *("--alter", "--add-config", COMPACT_NOW),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
