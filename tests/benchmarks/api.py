"""What a list costs over HTTP, beside Kafka: `python -m tests.benchmarks.api [--lists N] [--seconds S] [--json FILE]`.

A worker without a model on the embedded broker, with the films of MovieLens-100K. In turns, a user's like goes to Kafka
and its list is read from there, and the same user's list is asked for by `POST /v1/recommend`. Prints the percentiles
of both as a client sees them and their ratios, then how many lists and events a second the API answers.
"""

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
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
from tests.support.pipeline import Pipeline
from tests.support.workers import WITHOUT_MODEL

USERS = 50
WARM_UP = 20
SETTINGS = {"triton": "", "web_api": "on", "web_api_per_second": 100_000.0}
BATCH = 100
"""Events of one request, where several are sent at once."""


class Client:
    """A client of the worker, and of its topics."""

    def __init__(self, pipeline: Pipeline, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{pipeline.settings.web.port}/v1"
        servers = pipeline.broker.bootstrap
        self._producer = AIOKafkaProducer(bootstrap_servers=servers)
        self._lists = AIOKafkaConsumer(
            RECOMMENDATIONS.name, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        self._items = films().items
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
        user, item = f"user-{self._number % USERS}", self._drawn.choice(self._items).id
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
        await self.post("recommend", {"user": user})
        return time.perf_counter() - began

    async def post(self, path: str, body: Any) -> None:
        async with self._http.post(f"{self._url}/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            await answer.read()


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


async def measure(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    with EmbeddedBroker(folder / "broker").start() as broker, Pipeline(broker, folder, **SETTINGS) as pipeline:
        await pipeline.prepare(films().items)
        await asyncio.to_thread(pipeline.start, WITHOUT_MODEL)
        async with aiohttp.ClientSession() as http, Client(pipeline, http) as client:
            kafka, web = [], []
            for number in range(WARM_UP + given.lists):
                event = client.like()
                one, other = await client.over_kafka(event), await client.over_http(event.user)
                if number >= WARM_UP:
                    kafka.append(one)
                    web.append(other)
            lists = await rate(lambda: client.over_http("user-1"), given.seconds, given.at_once)
            shown = {"kind": "view", "item": films().items[0].id}
            one = await rate(lambda: client.post("events", {"user": "user-1", **shown}), given.seconds, given.at_once)
            batch = [{"user": f"user-{number % USERS}", **shown} for number in range(BATCH)]
            many = await rate(lambda: client.post("events", batch), given.seconds, given.at_once)
    return {
        "kafka p50 ms": 1000 * percentile(kafka, 50),
        "kafka p99 ms": 1000 * percentile(kafka, 99),
        "http p50 ms": 1000 * percentile(web, 50),
        "http p99 ms": 1000 * percentile(web, 99),
        "lists a second": lists,
        "events a second, one a request": one,
        "events a second, many a request": BATCH * many,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=300)
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
