"""What operators do to a cluster under a running worker: partitions are added, the broker moves, a right is revoked."""

import asyncio
import time
from random import Random

from aiokafka.admin import NewPartitions

from deploy.topics import admin
from schemas.topics import ALL, CONTEXTS, EVENTS, FEEDBACK, ITEMS, RECOMMENDATIONS
from tests.faults.cluster import Right
from tests.faults.schedule import Fault
from tests.faults.stage import APP, Stage
from tests.faults.strikes.records import kafka, likes
from tests.patience import PATIENCE

RIGHTS: tuple[Right, ...] = (
    ("Read", "topic", EVENTS.name),
    ("Write", "topic", RECOMMENDATIONS.name),
    ("Write", "topic", CONTEXTS.name),
    ("Write", "topic", FEEDBACK.name),
    ("Read", "topic", ITEMS.name),
    ("Read", "group", APP),
)


async def moved(stage: Stage, fault: Fault) -> float:
    """The broker comes back at the other address that the workers know."""
    broker = kafka(stage)
    await asyncio.to_thread(broker.stop)
    broker.move()
    await asyncio.sleep(fault.hold)
    await broker.start_async()
    return time.monotonic()


async def revoked(stage: Stage, fault: Fault) -> float:
    """The workers lose a right, until somebody has been told."""
    broker, right = kafka(stage), Random(fault.seed).choice(RIGHTS)
    await asyncio.to_thread(broker.revoke, right)
    try:
        await stage.operator.alarmed(fault.kind, seconds=PATIENCE)
        await asyncio.sleep(fault.hold)
    finally:
        await asyncio.to_thread(broker.restore, right)
    return time.monotonic()


async def partitions_added(stage: Stage, fault: Fault) -> float:
    """`ouzel.events` grows, and what follows it only once somebody has been told. The new partition has new users."""
    new = stage.partitions
    await _grow(stage, [EVENTS.name])
    stage.partitions += 1
    places = await stage.load.send_apart(likes(f"added-{fault.number}", 40, 5, Random(fault.seed)), partition=new)
    await stage.operator.alarmed(fault.kind, seconds=PATIENCE)
    await _grow(stage, [topic.name for topic in ALL if topic.partitions == "events" and topic is not EVENTS])
    at = time.monotonic()
    await stage.watch.answered(places, seconds=PATIENCE)
    return at


async def _grow(stage: Stage, topics: list[str]) -> None:
    async with admin(stage.broker.bootstrap) as client:
        await client.create_partitions(
            {topic: NewPartitions(stage.partitions + (topic == EVENTS.name)) for topic in topics}
        )
