"""One run of one contestant: topics, events, and the result."""

import asyncio
import re
import time
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic

from deploy.kafka.topics import admin, create
from deploy.local.processes import Child
from schemas.topics import ALL as OURS
from streams.fold.context import digest
from streams.kafka.partitions import partitions_of
from tests.benchmarks.fold.contestants import ROOT, Common, Contestant, Place
from tests.benchmarks.fold.job import State, decode, fold
from tests.benchmarks.fold.load import Load, Sent
from tests.benchmarks.fold.measuring import cpu_seconds, peak_mib

PATIENCE_SECONDS = 1_800.0
QUIET_MS = 1_500
"""The changelog counts as read to its end after this long without records."""

BATCH_BYTES = 128 * 1024


class Run(NamedTuple):
    """The result of a run: events per second of CPU time, peak MiB, wall seconds, and the digest of the state."""

    events_per_core_second: float
    peak_mib: float
    seconds: float
    state: str


async def run(contestant: Contestant, place: Place, load: Load, peers: Path, accepted: int) -> Run:
    """Let the contestant fold `load`, which has `accepted` events besides duplicates.

    Measures after the warm events are folded, without startup. Raises `SystemExit` if the contestant exits or times
    out.
    """
    command = contestant.command(place, peers)
    source, changelog = contestant.topics(place)
    if contestant.ours:
        await renew(place)
    else:
        await make(place, [source, changelog] if contestant.makes_no_topic else [source])
    await send(place.brokers, source, load.warm)
    environment = dict(contestant.environment(place))
    with Child(contestant.name, command, log=place.folder / "log", env=environment, cwd=ROOT) as child:
        held: dict[str, bytes] = {}
        consumer = await _follower(place, changelog, child)
        try:
            await _until(consumer, contestant, child, held, load.first)
            began, used = time.monotonic(), cpu_seconds(child.pid)
            sending = asyncio.create_task(send(place.brokers, source, load.rest))
            await _until(consumer, contestant, child, held, load.users)
            if contestant.counts:
                await _counted(place, child, accepted)
            used, seconds = cpu_seconds(child.pid) - used, time.monotonic() - began
            await sending
            peak = peak_mib(child.pid)
            while await _read(consumer, contestant, held, QUIET_MS):
                """Read the remaining records of all partitions."""
        finally:
            await consumer.stop()
    return Run(load.events / used, peak, seconds, state_digest(_named(contestant, held)))


def expected(load: Load) -> tuple[str, int]:
    """The digest of the state after a plain fold of the events, and the number of events that are not duplicates."""
    states: dict[str, State] = {}
    accepted = 0
    for records in (*load.warm, *load.rest):
        for key, value in records:
            accepted += fold(states.setdefault(key.decode(), State(key.decode())), decode(value))
    state = ((each.user, [digest(i) for i in each.ids], each.recent, each.met) for each in states.values())
    return state_digest(state), accepted


def state_digest(states: Iterable[Common]) -> str:
    whole = blake2b(digest_size=8)
    for each in sorted(states):
        whole.update(msgspec.msgpack.encode(each))
    return whole.hexdigest()


def _named(contestant: Contestant, held: dict[str, bytes]) -> Iterable[Common]:
    return ((user, *contestant.common(value)[1:]) for user, value in held.items())


async def renew(place: Place) -> None:
    """Recreate Ouzel's topics, whose names are fixed."""
    names = [topic.name for topic in OURS]
    async with admin(place.brokers) as client:
        there = {each["topic"] for each in await client.describe_topics() if not each["error_code"]}
        if there & set(names):
            await client.delete_topics(sorted(there & set(names)))
        while there & set(names):
            there = {each["topic"] for each in await client.describe_topics() if not each["error_code"]}
            await asyncio.sleep(0.1)
    await create(place.brokers, events_partitions=place.partitions, items_partitions=place.partitions)


async def make(place: Place, topics: list[str]) -> None:
    async with admin(place.brokers) as client:
        await client.create_topics([NewTopic(topic, place.partitions, 1) for topic in topics])


async def send(brokers: str, topic: str, records: list[list[Sent]]) -> None:
    """Send the records of each partition in order, all partitions concurrently."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        await asyncio.gather(*(_send_one(producer, topic, number, each) for number, each in enumerate(records)))
    finally:
        await producer.stop()


async def _send_one(producer: Any, topic: str, partition: int, records: list[Sent]) -> None:
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            await (await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    await (await producer.send_batch(batch, topic, partition=partition))


async def _follower(place: Place, topic: str, child: Child) -> AIOKafkaConsumer:
    """A consumer of the whole changelog from its beginning, once the topic exists."""
    consumer = AIOKafkaConsumer(bootstrap_servers=place.brokers, auto_offset_reset="earliest", fetch_max_wait_ms=200)
    await consumer.start()
    while True:
        partitions = await partitions_of(consumer, topic)
        if partitions:
            consumer.assign(partitions)
            return consumer
        if not child.running():
            await consumer.stop()
        _alive(child)
        await asyncio.sleep(0.2)


async def _until(
    consumer: AIOKafkaConsumer, contestant: Contestant, child: Child, held: dict[str, bytes], users: frozenset[str]
) -> None:
    """Read the changelog into `held` until it has all `users`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not users <= held.keys():
        await _read(consumer, contestant, held, 200)
        _alive(child, deadline)


async def _read(consumer: AIOKafkaConsumer, contestant: Contestant, held: dict[str, bytes], timeout_ms: int) -> bool:
    """Read the next records of the changelog; False after the timeout."""
    batches = await consumer.getmany(timeout_ms=timeout_ms)
    for records in batches.values():
        for record in records:
            user = contestant.user(record.key)
            if user is not None and record.value is not None:
                held[user] = record.value
    return bool(batches)


async def _counted(place: Place, child: Child, accepted: int) -> None:
    """Wait until the worker's metrics report `accepted` counted events."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{place.port}/metrics") as page:
                found = re.search(r"^ouzel_counted_events_total ([\d.e+]+)$", await page.text(), re.MULTILINE)
            if found is not None and float(found[1]) >= accepted:
                return
            _alive(child, deadline)
            await asyncio.sleep(0.5)  # the page costs the worker a few milliseconds


def _alive(child: Child, deadline: float = float("inf")) -> None:
    if not child.running() or time.monotonic() > deadline:
        raise SystemExit(f"{child.name} exited or timed out; its last lines:\n{child.tail()}")
