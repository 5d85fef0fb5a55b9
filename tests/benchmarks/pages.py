"""What open pages cost a worker: `python -m tests.benchmarks.pages [--pages 100] [--rounds N] [--json FILE]`.

Workers without a model on the embedded broker, with the films of MovieLens-100K. Users like films at a fixed rate, and
each like calls for a list. In each round three phases follow one another in a drawn order: the page is off, it is on
and not viewed, and it is viewed by many, each following one of the users. Prints the processor time of the worker, as a
share of a core and for each list, the time from an event to its list, and whether each page was told every list of its
user.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer

from deploy.datasets.dataset import films
from deploy.local.brokers import EmbeddedBroker
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.clock import SYSTEM
from tests.benchmarks.load.pipeline import processor_seconds
from tests.support.pipeline import Pipeline
from tests.support.workers import WITHOUT_MODEL

OFF, UNVIEWED, VIEWED = "page off", "page on, not viewed", "page on, viewed"
SETTLE_SECONDS = 2.0
SEED = 0


class Phase:
    """A worker from its start on, on a separate broker, so that phases do not depend on each other."""

    def __init__(self, given: argparse.Namespace, viewed: int, page: str) -> None:
        self.given = given
        self.viewed = viewed
        self.page = page
        self.told: Counter[str] = Counter()
        self.users = [f"user-{number}" for number in range(max(given.pages, 100))]

    async def run(self, folder: Path) -> dict[str, Any]:
        broker = EmbeddedBroker(folder / "broker").start()
        settings = {"triton": "", "web_page": self.page, "web_max_connections": 4 * self.given.pages + 64}
        items = films().items
        with broker, Pipeline(broker, folder, **settings) as pipeline:
            await pipeline.prepare(items)
            worker = await asyncio.to_thread(pipeline.start, WITHOUT_MODEL)
            drawn = random.Random(SEED)
            await self.like(pipeline, drawn, items, len(self.users), 0.0)  # before anything is measured
            await self.lists(pipeline, len(self.users))
            address = f"http://127.0.0.1:{pipeline.settings.web.port}"
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
                viewers = [asyncio.create_task(self.view(client, address, user)) for user in self.users[: self.viewed]]
                await asyncio.sleep(SETTLE_SECONDS)
                self.told.clear()  # each is told the last list when it opens
                before, began = processor_seconds(worker.pid), time.monotonic()
                count = int(self.given.rate * self.given.seconds)
                await self.like(pipeline, drawn, items, count, 1 / self.given.rate)
                used, took = processor_seconds(worker.pid) - before, time.monotonic() - began
                made = (await self.lists(pipeline, len(self.users) + count))[len(self.users) :]
                await asyncio.sleep(SETTLE_SECONDS)
                dropped = worker.metric("ouzel_page_dropped_messages_total")
                for each in viewers:
                    each.cancel()
                await asyncio.gather(*viewers, return_exceptions=True)
        of_users = Counter(one.user for one in made)
        wanted = sum(of_users[user] for user in self.users[: self.viewed])
        fresh = sorted(one.freshness_ms for one in made)
        return {
            "share of a core": used / took,
            "ms a list": 1000 * used / len(made),
            "event to list, p50 ms": fresh[len(fresh) // 2],
            "event to list, p99 ms": fresh[int(0.99 * len(fresh))],
            "lists": len(made),
            "lists for pages": wanted,
            "told": sum(self.told.values()),
            "dropped": dropped,
        }

    async def like(self, pipeline: Pipeline, drawn: random.Random, items: Any, count: int, pause: float) -> None:
        """Each user in turn likes an item, one event per pause."""
        producer = AIOKafkaProducer(bootstrap_servers=pipeline.broker.bootstrap)
        await producer.start()
        due = time.monotonic()
        try:
            for number in range(count):
                user = self.users[number % len(self.users)]
                name, item = f"{user}-{number}-{pause}", drawn.choice(items).id
                event = Event(id=name, user=user, kind=EventKind.LIKE, item=item, ts=SYSTEM.now_ms())
                await producer.send_and_wait(EVENTS.name, encode(event), key=user.encode())
                due += pause
                await asyncio.sleep(due - time.monotonic())
        finally:
            await producer.stop()

    async def lists(self, pipeline: Pipeline, count: int) -> list[Recommendation]:
        return await pipeline.read(RECOMMENDATIONS, Recommendation, lambda found: len(found) >= count)

    async def view(self, client: aiohttp.ClientSession, address: str, user: str) -> None:
        """Follow a user as the page does, and count the lists that it is told."""
        timeout = aiohttp.ClientTimeout(total=None)
        with suppress(asyncio.CancelledError):
            async with client.get(f"{address}/page/api/stream", params={"user": user}, timeout=timeout) as stream:
                assert stream.status == 200, await stream.text()
                async for line in stream.content:
                    if line.strip() == b"event: list":
                        self.told[user] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    order = random.Random(SEED)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(given.rounds):
        phases = [(OFF, 0, "off"), (UNVIEWED, 0, "on"), (VIEWED, given.pages, "on")]
        order.shuffle(phases)
        for name, viewed, page in phases:
            with tempfile.TemporaryDirectory() as folder:
                rows[name].append(asyncio.run(Phase(given, viewed, page).run(Path(folder))))
            print(f"{name}: {rows[name][-1]}", flush=True)
    print(f"\n{given.rate:g} lists a second, {given.pages} pages; medians of {given.rounds} rounds")
    keys = ("share of a core", "ms a list", "event to list, p50 ms", "event to list, p99 ms")
    report: dict[str, Any] = {"rows": rows, "medians": {}}
    for name in (OFF, UNVIEWED, VIEWED):
        found = {key: statistics.median(row[key] for row in rows[name]) for key in keys}
        report["medians"][name] = found
        print(f"{name:20} " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
    usual = report["medians"][OFF]
    for name in (UNVIEWED, VIEWED):
        ratios = {key: report["medians"][name][key] / usual[key] for key in keys}
        report["medians"][f"{name}, of {OFF}"] = ratios
        print(f"{name:20} " + ", ".join(f"{key} x{ratio:.2f}" for key, ratio in ratios.items()))
    lost = sum(row["lists for pages"] - row["told"] for row in rows[VIEWED])
    print(f"lists that a page was not told: {lost} of {sum(row['lists for pages'] for row in rows[VIEWED])}")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
