"""Changes to a cluster under a running worker: partitions added, topic recreated, broker moved, or right revoked."""

import asyncio
import time
from random import Random

from aiokafka.admin import NewPartitions

from deploy.kafka.topics import admin, create
from schemas.topics import ALL, CONTEXTS, DEAD_LETTERS, EVENTS, FEEDBACK, ITEMS, RECOMMENDATIONS
from tests.faults.cluster import Right
from tests.faults.schedule import Fault
from tests.faults.stage import APP, Stage
from tests.faults.strikes.records import everything, kafka, likes
from tests.support.patience import PATIENCE
from tests.support.topics import read_all

RIGHTS: tuple[Right, ...] = (
    ("Read", "topic", EVENTS.name),
    ("Write", "topic", RECOMMENDATIONS.name),
    ("Write", "topic", CONTEXTS.name),
    ("Write", "topic", FEEDBACK.name),
    ("Read", "topic", ITEMS.name),
    ("Read", "group", APP),
)


async def moved(stage: Stage, fault: Fault) -> float:
    """Restart the broker at the other address that the workers know."""
    broker = kafka(stage)
    await asyncio.to_thread(broker.stop)
    broker.move()
    await asyncio.sleep(fault.hold)
    await broker.start_async()
    return time.monotonic()


async def revoked(stage: Stage, fault: Fault) -> float:
    """Revoke a right of the workers until an alert fires."""
    broker, right = kafka(stage), Random(fault.seed).choice(RIGHTS)
    await asyncio.to_thread(broker.revoke, right)
    try:
        await stage.operator.alarmed(fault.kind, seconds=PATIENCE)
        await asyncio.sleep(fault.hold)
    finally:
        await asyncio.to_thread(broker.restore, right)
    return time.monotonic()


async def partitions_added(stage: Stage, fault: Fault) -> float:
    """Add a partition to `ouzel.events`, and to dependent topics after an alert. The new partition has new users."""
    new = stage.partitions
    await _grow(stage, [EVENTS.name])
    stage.partitions += 1
    places = await stage.load.send_apart(likes(f"added-{fault.number}", 40, 5, Random(fault.seed)), partition=new)
    await stage.operator.alarmed(fault.kind, seconds=PATIENCE)
    await _grow(stage, [topic.name for topic in ALL if topic.partitions == "events" and topic is not EVENTS])
    at = time.monotonic()
    await stage.watch.answered(places, seconds=PATIENCE)
    return at


async def topic_recreated(stage: Stage, fault: Fault) -> float:
    """Recreate `ouzel.events` under the worker; after an alert, restart the worker to read the new topic.

    `ouzel log` refuses a recreated topic, so it is stopped before, and its files of the old topic are moved away.
    """
    (name,) = stage.workers
    await stage.load.pause()
    await _mark_ends(stage, fault)
    await _archive(stage)
    async with admin(stage.broker.bootstrap) as client:
        await client.delete_topics([EVENTS.name])
    await _created(stage)
    stage.start_log()
    stage.load.resume()
    await stage.operator.alarmed(fault.kind, seconds=PATIENCE)
    status = await stage.stop(name)
    if status:
        stage.ended.append(f"worker {name} ended with status {status} after SIGTERM")
    stage.start(name, recreated_events="continue")
    return time.monotonic()


async def _mark_ends(stage: Stage, fault: Fault) -> None:
    """Make the last event of each partition one that is folded, so that the worker's next offset is known."""
    places = []
    for partition in range(stage.partitions):
        (last,) = likes(f"last-{fault.number}-{partition}", 1, 1, Random(fault.seed))
        places += await stage.load.send_apart([last], partition=partition)
    await stage.watch.answered(places, seconds=PATIENCE)


async def _archive(stage: Stage) -> None:
    records, ends, _ = await everything(stage)
    await stage.logged(records)
    status = await stage.log.stop()
    if status:
        stage.ended.append(f"the training log ended with status {status} after SIGTERM")
    stage.log.move(stage.load.bases)
    stage.archive(records, ())
    letters = await read_all(stage.broker.bootstrap, DEAD_LETTERS.name)
    stage.letters.update(stage.letters_of(letters))
    stage.letters_before = len(letters)
    for partition, end in ends.items():
        stage.load.bases[partition] = stage.load.bases.get(partition, 0) + end


async def _created(stage: Stage) -> None:
    """Create missing topics as soon as the broker has finished the deletion."""
    async with asyncio.timeout(PATIENCE):
        # No event comes from the broker.
        while EVENTS.name not in await create(stage.broker.bootstrap, events_partitions=stage.partitions):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _grow(stage: Stage, topics: list[str]) -> None:
    async with admin(stage.broker.bootstrap) as client:
        await client.create_partitions(
            {topic: NewPartitions(stage.partitions + (topic == EVENTS.name)) for topic in topics}
        )
