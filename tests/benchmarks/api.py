"""What a list costs over HTTP, beside Kafka: `python -m tests.benchmarks.api [--model] [--lists N] [--json FILE]`.

A worker without a model on the embedded broker, with the films of MovieLens-100K; with `--model`, the worker and the
tritonserver of `tests.benchmarks.load`. In turns, a user's like goes to Kafka and its list is read from there, and the
same user's list is asked for by `POST /v1/recommend`. Prints the percentiles of both as a client sees them and their
ratios. Then both at once: likes to Kafka and requests for lists, `--rate` of each a second; a request's time begins
when it is due. Last, how many lists and events a second the API answers.
"""

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.datasets.dataset import films
from deploy.local.brokers import EmbeddedBroker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.clock import SYSTEM
from tests.benchmarks.load import pipeline as load
from tests.benchmarks.load.driving import catalogue
from tests.support.pipeline import Pipeline
from tests.support.workers import WITHOUT_MODEL

USERS = 50
WARM_UP = 20
SETTINGS: dict[str, Any] = {"web_api": "on", "web_api_per_second": 10_000.0}
BATCH = 100
"""Events of one request, where several are sent at once."""


class Client:
    """A client of the worker, and of its topics."""

    def __init__(self, servers: str, url: str, items: Sequence[str], http: aiohttp.ClientSession) -> None:
        self.with_model = 0
        """Lists over HTTP in which the model had a part."""
        self._http = http
        self._url = f"{url}/v1"
        self._producer = AIOKafkaProducer(bootstrap_servers=servers)
        self._lists = AIOKafkaConsumer(
            RECOMMENDATIONS.name, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        self._items = items
        self._drawn = random.Random(0)
        self._number = 0

    async def __aenter__(self) -> "Client":
        await self._producer.start()
        await self._lists.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        await self._lists.stop()

    def like(self) -> Event:
        self._number += 1
        user, item = f"user-{self._number % USERS}", self._drawn.choice(self._items)
        return Event(id=f"e-{self._number}", user=user, kind=EventKind.LIKE, item=item, ts=SYSTEM.now_ms())

    async def over_kafka(self, event: Event) -> float:
        """Seconds from sending an event to reading its list."""
        began = time.perf_counter()
        await self._producer.send_and_wait(EVENTS.name, encode(event), key=event.user.encode())
        async for record in self._lists:
            if decode(Recommendation, record.value).trigger == event.id:
                break
        return time.perf_counter() - began

    async def over_http(self, user: str) -> float:
        """Seconds that a list takes."""
        began = time.perf_counter()
        made = await self.post("recommend", {"user": user})
        self.with_model += made["model_version"] is not None
        return time.perf_counter() - began

    async def post(self, path: str, body: Any) -> Any:
        async with self._http.post(f"{self._url}/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def at_a_rate(self, rate: float, seconds: float) -> list[float]:
        """Seconds of each list over HTTP from when it was due, `rate` a second, while as many likes go to Kafka."""
        began, found = time.perf_counter(), []

        async def one(due: float) -> None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            event = self.like()
            await self._producer.send(EVENTS.name, encode(event), key=event.user.encode())
            await self.over_http(event.user)
            found.append(time.perf_counter() - due)

        await asyncio.gather(*(one(began + number / rate) for number in range(int(rate * seconds))))
        return found


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def rate(one: Any, seconds: float, at_once: int) -> float:
    """How often `one` is done a second, by this many clients."""
    until, done = time.perf_counter() + seconds, 0

    async def go() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await one()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(go() for _ in range(at_once)))
    return done / (time.perf_counter() - began)


@asynccontextmanager
async def worker(folder: Path, model: bool) -> AsyncIterator[tuple[str, str, list[str]]]:
    """A worker with the API, and its brokers: their address, its own, and the ids of its items."""
    if model:
        async with load.pipeline(load.Size(), "embedded", settings=SETTINGS) as stage:
            yield stage.broker.bootstrap, stage.addresses[0], [item.id for item in catalogue(load.Size().items)]
        return
    with (
        EmbeddedBroker(folder / "broker").start() as broker,
        Pipeline(broker, folder, triton="", **SETTINGS) as pipeline,
    ):
        await pipeline.prepare(films().items)
        await asyncio.to_thread(pipeline.start, WITHOUT_MODEL)
        port = pipeline.settings.web.port
        yield broker.bootstrap, f"http://127.0.0.1:{port}", [item.id for item in films().items]


async def measure(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    async with (
        worker(folder, given.model) as (servers, url, items),
        aiohttp.ClientSession() as http,
        Client(servers, url.rstrip("/"), items, http) as client,
    ):
        kafka, web = [], []
        for number in range(WARM_UP + given.lists):
            event = client.like()
            one, other = await client.over_kafka(event), await client.over_http(event.user)
            if number >= WARM_UP:
                kafka.append(one)
                web.append(other)
        before = client.with_model
        steady = await client.at_a_rate(given.rate, given.seconds)
        scored = (client.with_model - before) / len(steady)
        lists = await rate(lambda: client.over_http("user-1"), given.seconds, given.at_once)
        shown = {"kind": "view", "item": items[0]}
        one = await rate(lambda: client.post("events", {"user": "user-1", **shown}), given.seconds, given.at_once)
        batch = [{"user": f"user-{number % USERS}", **shown} for number in range(BATCH)]
        many = await rate(lambda: client.post("events", batch), given.seconds, given.at_once)
    return {
        "kafka p50 ms": 1000 * percentile(kafka, 50),
        "kafka p99 ms": 1000 * percentile(kafka, 99),
        "http p50 ms": 1000 * percentile(web, 50),
        "http p99 ms": 1000 * percentile(web, 99),
        f"http p50 ms at {given.rate:g} a second": 1000 * percentile(steady, 50),
        f"http p99 ms at {given.rate:g} a second": 1000 * percentile(steady, 99),
        "share with the model at that rate": scored,
        "lists a second": lists,
        "events a second, one a request": one,
        "events a second, many a request": BATCH * many,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=300)
    parser.add_argument("--model", action="store_true", help="with a tritonserver that serves the packaged adapter")
    parser.add_argument("--rate", type=float, default=10.0, help="lists and likes a second, both at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    parser.add_argument("--at-once", type=int, default=8, help="clients while rates are measured")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(given, Path(folder)))
    found |= {f"http / kafka, {each}": found[f"http {each} ms"] / found[f"kafka {each} ms"] for each in ("p50", "p99")}
    for name, value in found.items():
        print(f"{name:>32}: {value:,.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
