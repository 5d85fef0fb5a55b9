"""Probes and scrapes of a worker that works, while others flood its port."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.codec import encode
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.secret import Secret
from tests.conftest import start_broker
from tests.support.pages import BEARER, TOKEN, Pages
from tests.support.pipeline import Pipeline, click, films

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.alone]

SECONDS = 6.0
PER_SECOND = 1_000
CONNECTIONS = 8


async def flood(pages: Pages, path: str, source: str, until: float) -> Counter[int]:
    """Ask for `path` 1,000 times a second, or as often as it is answered, over some connections."""
    told: Counter[int] = Counter()

    async def one() -> None:
        connection = await pages.connect(source)
        due = time.monotonic()
        try:
            while due < until:
                connection.send(path)
                told[(await connection.read()).status] += 1
                due += CONNECTIONS / PER_SECOND
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            connection.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return told


async def silence(pages: Pages, until: float) -> int:
    """Open connections as fast as they are taken, and say nothing; how many."""
    held = []
    try:
        while time.monotonic() < until:
            held.append(await pages.connect())
            await asyncio.sleep(0)
            if len(held) > 400:
                held.pop(0).close()
                await asyncio.sleep(0.005)
        return len(held)
    finally:
        for each in held:
            each.close()


async def asked(pages: Pages, path: str, *headers: str, until: float) -> Counter[int]:
    """What a probe or scrape that comes five times a second, over a new connection each time, is answered."""
    told: Counter[int] = Counter()
    while time.monotonic() < until:
        try:
            told[(await pages.ask(path, *headers)).status] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            told[0] += 1
        await asyncio.sleep(0.2)
    return told


@pytest.fixture
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with start_broker("embedded", tmp_path_factory) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "source"), [("/metrics", "127.0.0.1"), ("/healthz", "127.0.0.1"), ("/metrics", "127.0.0.2")]
)
async def test_flood_of_requests_keeps_out_neither_probes_nor_scrapes_nor_lists(
    embedded: Broker, tmp_path: Path, path: str, source: str
) -> None:
    with Pipeline(embedded, tmp_path, triton="", web_token=Secret(TOKEN)) as worker:
        await worker.prepare(films())
        await asyncio.to_thread(worker.start)
        pages = Pages(worker.settings.web.port)
        until = time.monotonic() + SECONDS
        flooded, healthy, ready, scraped, _ = await asyncio.gather(
            flood(pages, path, source, until),
            asked(pages, "/healthz", until=until),
            asked(pages, "/readyz", until=until),
            asked(pages, "/metrics", BEARER, until=until),
            worker.send(EVENTS, [("u", encode(click("u", f"film-{n}", n))) for n in range(5)]),
        )
        assert sum(flooded.values()) > SECONDS * 100, "no flood"
        for told in (healthy, ready, scraped):
            assert set(told) == {200}
            assert told[200] >= SECONDS
        await worker.read(RECOMMENDATIONS, Recommendation, lambda out: any(each.trigger == "u-4" for each in out))


async def test_flood_of_connections_keeps_out_neither_probes_nor_scrapes(embedded: Broker, tmp_path: Path) -> None:
    with Pipeline(embedded, tmp_path, triton="", web_token=Secret(TOKEN)) as worker:
        await worker.prepare(films())
        await asyncio.to_thread(worker.start)
        pages = Pages(worker.settings.web.port)
        until = time.monotonic() + SECONDS
        opened, healthy, scraped = await asyncio.gather(
            silence(pages, until),
            asked(pages, "/healthz", until=until),
            asked(pages, "/metrics", BEARER, until=until),
        )
        assert opened > 300
        for told in (healthy, scraped):
            assert set(told) == {200}
            assert told[200] >= SECONDS
