"""The HTTP API behind the worker's guard, on a list path in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from inference.scorers.scripted import ScriptedScorer
from schemas.codec import decode_event
from schemas.events import Event
from schemas.topics import EVENTS
from streams.api.http_api import HttpApi
from streams.clock import SYSTEM, Clock
from streams.graph.item_graph import ItemGraph
from streams.items.search import SearchIndex
from streams.kafka.publisher import Output
from streams.privacy.erasure import Versions
from streams.secret import Secret
from streams.serving.searching import Search
from streams.settings import Settings
from streams.web.guard import Guard
from tests.support.background import running
from tests.support.listing import Bench, MemoryState
from tests.support.patience import PATIENCE
from tests.support.pipeline import films

PARTITIONS = 8


class Served:
    """The state of a bench, with the versions that read a user as a partition's state gives them."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def versions(self, user: str) -> Versions:
        return Versions(tuple(self._state.versions.get(user, ())))


class ApiWorld:
    """A worker that has every partition, with the films as its catalogue; `sent` is what it wrote to Kafka."""

    def __init__(self, scorer: ScriptedScorer | None = None, *, token: str = "", **settings: object) -> None:
        self.bench = Bench(scorer)
        self.sent: list[Output] = []
        self.refusals: list[str] = []
        self.failure: Exception | None = None
        self.is_read = True
        self.seconds = 0.0
        self.partitions: int | None = PARTITIONS
        self.addresses: dict[str, dict[str, list[int]]] = {}
        self.catalogue = self.bench.lists._catalogue
        self.lane: Any = SimpleNamespace(state=Served(self.bench.state), ready=True)
        lanes: Any = SimpleNamespace(topic=EVENTS.name, lanes=dict.fromkeys(range(PARTITIONS), self.lane))
        self.lanes: dict[int, Any] = lanes.lanes
        made = Settings.make(web_api="on", web_token=Secret(token), **settings)
        clock = Clock(now_ms=SYSTEM.now_ms, monotonic=lambda: self.seconds)
        self.catalogue.search = SearchIndex()
        for film in films():
            self.catalogue.withdraw(film.id)
            self.catalogue.add(film)
        self.search = Search(self.catalogue.search, self.catalogue, ItemGraph(self.catalogue.index), clock)
        self.api = HttpApi(
            made,
            catalogue=self.catalogue,
            search=self.search,
            is_read=lambda: self.is_read,
            lanes=lanes,
            partitions=lambda: self.partitions,
            publish=self.publish,
            addresses=lambda: self.addresses,
            own_address="http://127.0.0.1:1/v1",
            metrics=self.bench.metrics,
            clock=clock,
        )
        lists = self.bench.lists
        lists._watcher = lists._maker._watcher = self.api.latest
        self.api.lists, self.api.explaining = lists.one_off, lists.explaining
        guard = Guard(made.web, clock, self.refusals.append, [self.api.area])
        self.api.add_to(guard.application, self.refusals.append)
        self.client = TestClient(TestServer(guard.application))

    async def publish(self, outputs: Sequence[Output]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent += outputs

    def events(self) -> list[Event]:
        """The events on Kafka, read as a worker reads them."""
        now = SYSTEM.now_ms()
        return [decode_event(out.value, key=out.key, now_ms=now) for out in self.sent if out.topic == EVENTS.name]

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **query: Any
    ) -> ClientResponse:
        """The answer to a request, a tenth of a second after the last; `body` is sent as JSON."""
        self.seconds += 0.1
        return await self.client.request(method, path, json=body, params=query, headers=headers)

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer that must be a success."""
        return await told(await self.ask("GET", path, **query))

    async def post(self, path: str, body: Any) -> Any:
        return await told(await self.ask("POST", path, body))

    async def did(self, user: str, *items: str) -> None:
        """A user likes items, and gets a list after each."""
        for item in items:
            count = len(self.bench.made(user))
            self.bench.did(user, item)
            await self.bench.until(lambda many=count: len(self.bench.made(user)) > many)
            last = self.bench.made(user)[-1].id
            await self.bench.until(lambda name=last: getattr(self.api.latest.of(user), "id", "") == name)


async def told(answer: ClientResponse) -> Any:
    assert answer.status < 300, await answer.text()
    assert answer.content_type == "application/json"
    return await answer.json()


async def problem(answer: ClientResponse, status: int, kind: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    text = await answer.text()
    assert answer.status == status, text
    assert answer.content_type == "application/problem+json"
    found: dict[str, Any] = json.loads(text)
    assert found["status"] == status
    assert found["type"] == f"urn:problem-type:ouzel:{kind}"
    assert found["title"]
    assert found["detail"]
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    return found


async def message(stream: ClientResponse) -> Any:
    """The next list of a stream."""
    async with asyncio.timeout(PATIENCE):
        while True:
            line = await stream.content.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))


@asynccontextmanager
async def api_world(scorer: ScriptedScorer | None = None, **settings: Any) -> AsyncIterator[ApiWorld]:
    world = ApiWorld(scorer, **settings)
    async with running(world.bench), world.client:
        yield world
