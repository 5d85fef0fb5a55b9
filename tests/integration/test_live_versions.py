"""Two workers follow the roles of model versions: shadow, canary, promotion and rollback, under load and without one
list lost, degraded, or made by a version that had no role."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.models import Comparison, ModelAck
from schemas.recommendations import Recommendation
from schemas.topics import ALL, COMPARISONS, EVENTS, ITEMS, MODEL_ACKS, MODELS, RECOMMENDATIONS
from streams.fold.context import EMPTY, fold
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.vectors import Vectors
from streams.ranking.blend import Blend
from streams.ranking.exploration import NO_EXPLORATION
from streams.ranking.ranker import Ranker
from streams.ranking.settings import Ranking
from streams.settings import Settings, values_of
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, films
from tests.support.roles import place, record, versions
from tests.support.scripted_worker import COMMAND
from tests.support.workers import Worker

pytestmark = pytest.mark.slow

SETTINGS = {
    "exploration": "0",
    "counting_interval_s": 60.0,
    "list_deadline_ms": 60_000,
    "patience_ms": 60_000,
    "trigger_max_age_ms": 600_000,
}
"""Nothing is counted while the test compares, so that it can compute the orders by itself. A slow machine does not make
a list late: one that is degraded is so because of a switch."""


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Workers:
    """The workers of one group, and what they publish."""

    pipeline: Pipeline
    running: list[Worker] = field(default_factory=list)
    made: dict[str, Recommendation] = field(default_factory=dict)
    """The lists so far, by the event that they answer."""

    async def start(self) -> Worker:
        """Start one more worker and wait until it is ready."""
        port = free_ports(1)[0]
        folder = self.pipeline.folder / f"worker-{port}"
        settings = Settings.make(**{**values_of(self.pipeline.settings), "web_port": port, "state_dir": folder})
        worker = Worker(settings, self.pipeline.folder / f"{port}.log", command=COMMAND)
        self.running.append(worker)
        await asyncio.to_thread(worker.wait_ready)
        return worker

    def metric(self, name: str) -> float:
        return sum(worker.metric(name) for worker in self.running)

    async def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(done):
            assert time.monotonic() < deadline, f"{what}: not in time\n{self.running[-1].tail(40)}"
            await asyncio.sleep(0.1)

    async def gives(self, role: str, number: int, *, share: float = 0.0) -> None:
        key, value = record(role, number, share=share, salt="s", ts=now())
        await self.pipeline.send(MODELS, [(key.decode(), value)])

    async def acks(self) -> dict[str, ModelAck]:
        """The newest acknowledgement of each worker that has not ended."""
        found: dict[str, ModelAck] = {}
        for each in await self.pipeline.records(MODEL_ACKS.name):
            found.pop(each.key.decode(), None)
            if each.value is not None:
                found[each.key.decode()] = decode(ModelAck, each.value)
        return found

    async def acknowledged(self, count: int, champion: str, challenger: str | None = None, behind: int = 1) -> None:
        """Wait until `count` workers have read `behind` records, use these versions, and lack no vectors."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = await self.acks()
            used = {(each.champion, each.challenger, each.lacking) for each in found.values()}
            read = all(each.behind >= behind for each in found.values())
            if read and len(found) == count and used == {(champion, challenger, 0)}:
                return
            assert time.monotonic() < deadline, f"{found}\n{self.running[-1].tail(40)}"
            await asyncio.sleep(0.1)

    async def lists(self, *events: str) -> dict[str, Recommendation]:
        """The lists that answer these events, each once."""
        await self.until(lambda: self.made.keys() >= set(events), f"lists of {len(events)} events")
        return {each: self.made[each] for each in events}

    async def follow(self) -> None:
        """Read lists into `made` as they are published."""
        consumer = AIOKafkaConsumer(
            RECOMMENDATIONS.name,
            bootstrap_servers=self.pipeline.broker.bootstrap,
            auto_offset_reset="earliest",
            group_id=None,
        )
        await consumer.start()
        try:
            async for each in consumer:
                found = decode(Recommendation, each.value)
                assert self.made.setdefault(found.trigger, found).id == found.id
        finally:
            await consumer.stop()

    async def told(self, *events: Event) -> None:
        await self.pipeline.send(EVENTS, [(event.user, encode(event)) for event in events])


def done(user: str, item: str, kind: EventKind = EventKind.CLICK, scene: str = "home") -> Event:
    return Event(id=f"{user}-{item}-{kind}", user=user, kind=kind, item=item, ts=now(), scene=scene)


class Load:
    """Events at a steady pace, each by a new user, so that each needs a list."""

    def __init__(self, workers: Workers) -> None:
        self.sent: list[str] = []
        self._workers = workers

    async def run(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._workers.pipeline.broker.bootstrap)
        await producer.start()
        try:
            while True:
                event = done(f"load-{len(self.sent)}", f"film-{len(self.sent) % 40}")
                await producer.send_and_wait(EVENTS.name, encode(event), key=event.user.encode())
                self.sent.append(event.id)
                await asyncio.sleep(0.025)
        finally:
            await producer.stop()


@asynccontextmanager
async def under_load(workers: Workers) -> AsyncIterator[Load]:
    load = Load(workers)
    task = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        task.cancel()
        await asyncio.wait([task])


async def orders(event: Event) -> dict[int, tuple[str, ...]]:
    """The list of a user who did only this, as versions 1 and 2 would make it alone, by the scripted scores."""
    catalogue = Catalogue()
    for film in films():
        catalogue.add(film)
    ranker, scorer, blend = (
        Ranker(catalogue, ItemGraph(catalogue.index), Ranking(exploration=NO_EXPLORATION)),
        versions(1, 2),
        Blend(),
    )
    plain = ranker.shortlist(ranker.prepare(fold(EMPTY, event, 0), event.scene, now_ms=event.ts), blend)
    found = {}
    for number in (1, 2):
        vectors = Vectors.of(range(40))
        asked = vectors.next(40)
        described = [catalogue.described(each) for each in asked]
        vectors.put(asked, await scorer.describe(described, timeout=1.0, number=number))
        scores = await scorer.score(ranker.question(plain, session=1), timeout=1.0, number=number)
        found[number] = ranker.leading(ranker.rescore(plain, scores, blend, vectors), blend, 10)
    return found


async def compared(workers: Workers) -> None:
    """Users like items that both versions show, one of them, or none; every comparison says so."""
    clicks = [done(f"liker-{number}", f"film-{number}", scene="quiet") for number in range(12)]
    expected = {event.id: await orders(event) for event in clicks}
    await workers.told(*clicks)
    scored = 'ouzel_shadow_lists_total{outcome="asked"}'
    await workers.until(lambda: workers.metric(scored) >= len(clicks), "every list scored by both versions")
    made = await workers.lists(*expected)
    likes, hits = [], {}
    for turn, event in enumerate(clicks):
        first, second = (set(expected[event.id][number]) for number in (1, 2))
        shown = tuple(entry.item for entry in made[event.id].entries)
        assert shown == expected[event.id][1], "the test computes lists as the workers do"
        every = {film.id for film in films()}
        liked = sorted([first & second, first - second, second - first, every - first - second][turn % 4])[0]
        likes.append(done(event.user, liked, EventKind.LIKE, "quiet"))
        hits[made[event.id].id] = (liked in first, liked in second)
    assert len(set(hits.values())) == 4
    await workers.told(*likes)
    found = await workers.pipeline.read(COMPARISONS, Comparison, lambda read: len(read) >= len(clicks))
    assert {each.list: (each.champion_hit, each.challenger_hit) for each in found} == hits
    assert {(each.champion, each.challenger, each.canary, each.scene) for each in found} == {
        ("v1", "v2", False, "quiet")
    }
    assert len({each.id for each in found}) == len(clicks)


async def test_versions_change_roles_under_load_without_a_lost_or_degraded_list(
    strong_broker: Broker, tmp_path: Path
) -> None:
    with Pipeline(strong_broker, tmp_path, **SETTINGS) as pipeline:
        workers = Workers(pipeline)
        await pipeline.prepare(films())
        await workers.gives("champion", 1)
        following = asyncio.create_task(workers.follow())
        try:
            await asyncio.gather(workers.start(), workers.start())
            await workers.acknowledged(2, "v1")
            await workers.gives("shadow", 2)
            await workers.acknowledged(2, "v1", "v2")
            await compared(workers)
            async with under_load(workers) as load:
                await changed(workers, load)
            made = await workers.lists(*load.sent)
            assert {each.degraded for each in made.values()} == {None}
            assert {each.model_version for each in made.values()} == {"v1", "v2"}
            for each in made.values():
                number = int((each.model_version or "").removeprefix("v"))
                models = {entry.item: entry.model for entry in each.entries}
                assert models == {item: float(number**2 * place(item, number)) for item in models}
            assert workers.metric("ouzel_model_lists_total") >= len(made)
            await ended(workers)
        finally:
            following.cancel()
            for worker in workers.running:
                await asyncio.to_thread(worker.stop)


async def changed(workers: Workers, load: Load) -> None:
    """Canary for all users, promotion, rollback, and promotion again: lists asked for after all workers have
    acknowledged are made by the new version."""
    for role, number, challenger, by in (
        ("canary", 2, "v2", "v2"),
        ("champion", 2, None, "v2"),
        ("champion", 1, None, "v1"),
        ("champion", 2, None, "v2"),
    ):
        await workers.gives(role, number, share=1.0)
        champion = "v1" if role == "canary" else f"v{number}"
        behind = len(await workers.pipeline.records(MODELS.name))
        await workers.acknowledged(2, champion, challenger, behind)
        first = len(load.sent) + 1  # the one before may be on its way
        await workers.until(lambda n=first: len(load.sent) > n + 40, "more load")
        made = await workers.lists(*load.sent[first : first + 40])
        assert {each.model_version for each in made.values()} == {by}, (role, number)
        if role == "canary":
            await workers.until(lambda: workers.metric('ouzel_model_lists_total{role="canary"}') >= 40, "canary lists")


async def ended(workers: Workers) -> None:
    """Workers that end withdraw their acknowledgements, and one that starts late makes its first lists by the
    champion, not by the newest version."""
    for worker in workers.running:
        await asyncio.to_thread(worker.stop)
    assert await workers.acks() == {}
    waiting = [done(f"late-{number}", "film-1") for number in range(20)]
    await workers.told(*waiting)
    await workers.start()
    made = await workers.lists(*(event.id for event in waiting))
    assert {(each.model_version, each.degraded) for each in made.values()} == {("v2", None)}
    await workers.acknowledged(1, "v2")


async def test_cluster_without_the_topics_of_versions_is_served_by_the_only_model(
    strong_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Pipeline(strong_broker, tmp_path, **SETTINGS) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr("deploy.kafka.topics.ALL", tuple(set(ALL) - {MODELS, MODEL_ACKS, COMPARISONS}))
            await create(strong_broker.bootstrap)
        await pipeline.send(ITEMS, ((item.id, encode(item)) for item in films()))
        worker = pipeline.begin(COMMAND)
        click = done("ann", "film-1")
        await pipeline.send(EVENTS, [(click.user, encode(click))])
        (made,) = await pipeline.read(RECOMMENDATIONS, Recommendation, lambda read: len(read) == 1)
        assert (made.model_version, made.degraded) == ("v3", None)
        for topic in (MODELS, MODEL_ACKS, COMPARISONS):
            line = f"The topic {topic.name} does not exist: create the topics with `ouzel topics create`."
            await asyncio.to_thread(worker.until, lambda text=line: text in worker.page("/readyz"), line)
        await create(strong_broker.bootstrap)
        await asyncio.to_thread(worker.until, worker.ready, "ready")
        key, value = record("champion", 1)
        await pipeline.send(MODELS, [(key.decode(), value)])
        (ack, *_) = await pipeline.read(MODEL_ACKS, ModelAck, lambda read: any(each.champion == "v1" for each in read))
        assert ack.worker
