"""Two workers learn one blend from what the users of each like, and count nothing twice when one is killed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2

from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.blends import BlendPart
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from schemas.topics import BLENDS, CONTEXTS, EVENTS, RECOMMENDATIONS
from streams.settings import Settings, values_of
from streams.state.records import decode_value, part_key
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, films
from tests.support.workers import WITHOUT_MODEL, Worker

pytestmark = pytest.mark.slow

PARTITIONS, SCENE = 4, "home"
SETTINGS = {
    "triton": "",
    "exploration": "0",
    "new_item_share": "0",
    "list_deadline_ms": 60_000,
    "patience_ms": 60_000,
    "trigger_max_age_ms": 600_000,
}


def living_in(partition: int, count: int, prefix: str) -> list[str]:
    """Names of users whose events are in a partition."""
    names = (f"{prefix}-{number}" for number in range(1_000))
    return [name for name in names if (murmur2(name.encode()) & 0x7FFFFFFF) % PARTITIONS == partition][:count]


class Group:
    """The workers of one group."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.running: list[Worker] = []

    async def start(self) -> None:
        port = free_ports(1)[0]
        folder = self.pipeline.folder / f"worker-{port}"
        settings = Settings.make(**{**values_of(self.pipeline.settings), "web_port": port, "state_dir": folder})
        worker = Worker(settings, self.pipeline.folder / f"{port}.log", command=WITHOUT_MODEL)
        self.running.append(worker)
        await asyncio.to_thread(worker.wait_ready)

    async def until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await done():
            assert time.monotonic() < deadline, f"{what}\n{await self.counts()}\n{self.running[-1].tail(40)}"
            await asyncio.sleep(0.2)

    async def counts(self) -> list[tuple[float, float]]:
        """How many lists each worker has learned from: its own partitions', and all."""
        return [
            (
                await asyncio.to_thread(worker.metric, 'ouzel_blend_lists{of="own"}'),
                await asyncio.to_thread(worker.metric, 'ouzel_blend_lists{of="all"}'),
            )
            for worker in self.running
        ]

    async def learned(self, lists: int, workers: int) -> None:
        """Wait until this many workers all know of this many lists, of which each is one worker's own."""

        async def done() -> bool:
            found = await self.counts()
            return sum(own for own, _ in found) == lists and [every for _, every in found] == [lists] * workers

        await self.until(done, f"{lists} lists known to {workers} workers")

    async def listed(self, users: Sequence[str], mark: str) -> dict[str, Recommendation]:
        """Have these users click, and wait for their lists."""
        events = {f"{mark}-{user}": user for user in users}
        await self.told([(user, "film-1", EventKind.CLICK, name) for name, user in events.items()])
        found = await self.pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda read: events.keys() <= {each.trigger for each in read}
        )
        return {each.user: each for each in found if each.trigger in events}

    async def told(self, events: Sequence[tuple[str, str, EventKind, str]]) -> None:
        now = time.time_ns() // 1_000_000
        await self.pipeline.send(
            EVENTS,
            [
                (user, encode(Event(id=name, user=user, kind=kind, ts=now, item=item, scene=SCENE)))
                for user, item, kind, name in events
            ],
        )

    async def like(self, users: Sequence[str], mark: str) -> None:
        """Have each of these users like something on their list."""
        made = await self.listed(users, mark)
        await self.told([(user, made[user].entries[3].item, EventKind.LIKE, f"{mark}-like-{user}") for user in users])

    async def stored(self, lists: int) -> None:
        """Wait until what the partitions learned from this many lists is on the changelog and on the topic."""

        async def done() -> bool:
            state: dict[int, int] = {}
            for each in await self.pipeline.records(CONTEXTS.name):
                if each.key == part_key(SCENE) and each.value is not None:
                    state[each.partition] = decode_value(each.key, each.value).lists
            topic: dict[bytes, int] = {}
            for each in await self.pipeline.records(BLENDS.name):
                topic[each.key] = 0 if each.value is None else decode(BlendPart, each.value).lists
            return sum(state.values()) == sum(topic.values()) == lists

        await self.until(done, f"{lists} lists stored and published")


async def test_workers_learn_one_blend_and_count_nothing_twice(strong_broker: Broker, tmp_path: Path) -> None:
    with Pipeline(strong_broker, tmp_path, **SETTINGS) as pipeline:
        await pipeline.prepare(films())
        group = Group(pipeline)
        likers, others = living_in(0, 6, "liker"), [living_in(each, 1, "idle")[0] for each in range(PARTITIONS)]
        try:
            await group.start()
            await group.start()
            await group.listed(others, "first")  # lists in this scene in every partition, and no like
            await group.like(likers, "second")
            await group.learned(len(likers), workers=2)
            await group.stored(len(likers))
            counts = await group.counts()
            assert sorted(own for own, _ in counts) == [0, len(likers)]  # one worker has only what the other learned
            owner = max(range(2), key=lambda at: counts[at][0])
            await asyncio.to_thread(group.running.pop(owner).kill)
            await group.listed(others, "third")  # the other worker has all partitions
            await group.learned(len(likers), workers=1)
            await group.start()
            await group.listed(others, "fourth")
            await group.learned(len(likers), workers=2)
            await group.like(likers[:2], "fifth")
            await group.learned(len(likers) + 2, workers=2)
            await group.stored(len(likers) + 2)
        finally:
            for worker in group.running:
                await asyncio.to_thread(worker.stop)
