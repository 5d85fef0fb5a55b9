"""The guard of the worker's pages, on the worker's own server: token, name, rate, sizes, connections."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily

from streams.errors import BadSetting
from streams.secret import Secret
from streams.settings import Settings
from streams.web.guard import MAX_BODY_BYTES, allowed
from tests.support.pages import BEARER, TOKEN, Answer, Connection, Pages, flood, serving
from tests.support.patience import PATIENCE

HIGHEST = 4_096
"""Bytes of a line, and of a header."""


async def test_metrics_need_the_token_and_probes_do_not(tmp_path: Path) -> None:
    async with serving(tmp_path) as pages:
        assert (await pages.ask("/healthz")).status == 200
        assert (await pages.ask("/readyz")).status == 503
        assert (await pages.ask("/metrics")).status == 401
        for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff\xfe"):
            assert (await pages.ask("/metrics", f"Authorization: {wrong}")).status == 401
        assert "ouzel_ready" in (await pages.ask("/metrics", BEARER)).body
        assert (await pages.ask("/nowhere")).status == 401
        assert (await pages.ask("/nowhere", BEARER)).status == 404
        assert (await pages.ask("/", BEARER)).status == 404, "a page of Faust's own"
        assert pages.refused("token") == 8


# Requests of others block no client


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/metrics", ()),
        ("/metrics", ("Authorization: Bearer not-the-token-at-all",)),
        ("/healthz", ()),
        ("/readyz", ()),
        ("/metrics", (BEARER,)),
        ("/nowhere", ()),
    ],
)
async def test_flood_does_not_block_probes_or_scrapes(path: str, headers: tuple[str, ...], tmp_path: Path) -> None:
    """Not even from the flood's own address, as behind a proxy."""
    async with serving(tmp_path) as pages:
        for _ in range(4):
            await flood(pages, 400, path, *headers)
            for source in ("127.0.0.1", "127.0.0.2"):
                assert (await pages.ask("/healthz", source=source)).status == 200
                assert (await pages.ask("/readyz", source=source)).body.startswith("waiting for ")
                assert (await pages.ask("/metrics", BEARER, source=source)).status == 200


async def test_flood_on_loopback_without_a_token_does_not_block_scrapes(tmp_path: Path) -> None:
    async with serving(tmp_path, token="") as pages:
        for headers in ((), ("Host: elsewhere.example",)):
            await flood(pages, 400, "/metrics", *headers)
            assert (await pages.ask("/metrics")).status == 200
            assert (await pages.ask("/healthz")).status == 200


async def test_refusals_are_bounded_per_address(tmp_path: Path) -> None:
    async with serving(tmp_path) as pages:
        told = await flood(pages, 800, "/metrics")
        assert set(told) == {401, 429}
        assert told[429] > told[401] > 40
        assert pages.refused("rate") == told[429]
        assert (await pages.ask("/metrics", source="127.0.0.2")).status == 401, "another address gets the reason"


async def test_rendering_of_pages_is_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_per_second=2) as pages:
        made: list[float] = []
        clock = asyncio.get_running_loop().time
        began = clock()
        pages.app.metrics.registry.register(_Counting(lambda: made.append(clock())))
        told = await flood(pages, 400, "/metrics", BEARER)
        took = clock() - began
    assert told == {200: 400}
    assert 1 <= len(made) <= 2 * (1 + took)


class _Counting:
    """A collector that reports when a page is rendered."""

    def __init__(self, made: Callable[[], None]) -> None:
        self._made = made

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> list[GaugeMetricFamily]:
        self._made()
        return []


class _Broken(_Counting):
    def collect(self) -> list[GaugeMetricFamily]:
        raise RuntimeError("about ann")


# Names


GOOD = ["127.0.0.1", "127.0.0.1:6066", "127.8.8.8:1", "localhost", "LocalHost:80", "localhost.", "[::1]", "[::1]:6066"]
BAD = [
    "attacker.example",
    "attacker.example:6066",
    "localhost.attacker.example",
    "127.0.0.1.attacker.example",
    "10.1.2.3:6066",
    "0.0.0.0",
    "[::]:6066",
    "",
    "[::1",
    "localhost@attacker.example",
]


async def test_pages_without_a_token_answer_only_under_loopback_names(tmp_path: Path) -> None:
    """A page of another site whose name resolves to this machine reads nothing."""
    async with serving(tmp_path, token="") as pages:
        for host in GOOD:
            for path in ("/metrics", "/healthz"):
                assert (await pages.ask(path, f"Host: {host}")).status == 200, host
        for host in BAD:
            for path in ("/metrics", "/healthz", "/readyz", "/nowhere"):
                refused = await pages.ask(path, f"Host: {host}")
                assert refused.status == 421, host
                assert "ouzel_" not in refused.body
        assert "set OUZEL_WEB_TOKEN" in (await pages.ask("/metrics", "Host: attacker.example")).body
        twice = await pages.ask("/metrics", "Host: localhost", "Host: attacker.example")
        assert twice.status in (400, 421)
        assert (await pages.raw(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200, "every browser sends a name"
        assert pages.refused("host") >= len(BAD)


async def test_pages_with_a_token_answer_under_any_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as pages:
        assert (await pages.ask("/healthz", "Host: worker.example")).status == 200
        assert (await pages.ask("/metrics", "Host: worker.example", BEARER)).status == 200
        assert (await pages.ask("/metrics", "Host: worker.example")).status == 401


# Headers of every answer


async def test_every_answer_has_the_headers_and_names_no_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as pages, serving(tmp_path / "open", token="") as loopback:
        large = f"Content-Length: {MAX_BODY_BYTES + 1}"
        answers = [
            (200, await pages.ask("/healthz")),
            (200, await pages.ask("/healthz", method="HEAD")),
            (200, await pages.ask("/metrics", BEARER)),
            (400, await pages.raw(b"\x16\x03\x01 no HTTP \r\n\r\n")),
            (400, await pages.ask("/metrics?" + "x" * HIGHEST)),
            (400, await pages.ask("/metrics", "X: " + "x" * 2 * HIGHEST)),
            (401, await pages.ask("/metrics")),
            (404, await pages.ask("/nowhere", BEARER)),
            (405, await pages.ask("/metrics", BEARER, method="DELETE")),
            (413, await pages.ask("/metrics", BEARER, large, method="POST")),
            (417, await pages.ask("/healthz", "Expect: <script>")),
            (421, await loopback.ask("/metrics", "Host: attacker.example")),
            (503, await pages.ask("/readyz")),
        ]
        pages.app.metrics.registry.register(_Broken(lambda: None))
        answers.append((500, await pages.ask("/metrics", BEARER)))
        answers.append((429, await until_429(pages)))
        assert pages.refused("unreadable") == 3
        assert pages.refused("body") == 1
    for status, answer in answers:
        assert answer.status == status, answer
        assert answer.headers["Server"] == "ouzel", answer
        assert answer.headers["X-Content-Type-Options"] == "nosniff", answer
        assert answer.headers["Cache-Control"] == "no-store", answer
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), answer
        assert answer.headers["Referrer-Policy"] == "no-referrer", answer
        assert answer.headers["Content-Type"].startswith("text/plain"), answer
        for told in ("aiohttp", "Python", "about ann", "no HTTP", "xxxx"):
            assert told not in str(answer), answer
    allow = next(answer for status, answer in answers if status == 405).headers["Allow"]
    assert "GET" in allow
    assert "RuntimeError" in caplog.text
    assert "about ann" not in "".join(each.getMessage() for each in caplog.records)


async def until_429(pages: Pages) -> Answer:
    while (answer := await pages.ask("/metrics")).status != 429:
        assert answer.status == 401
    assert answer.headers["Retry-After"] == "1"
    return answer


# Connections


async def test_idle_connections_do_not_block_others(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_connections=5) as pages:
        idle = [await pages.connect() for _ in range(20)]
        assert (await pages.ask("/healthz")).status == 200
        for each in idle[:14]:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await each.reader.readexactly(1)
        assert pages.refused("connections") >= 15
        for each in idle:
            each.close()


async def test_scrape_in_progress_survives_a_flood_of_connections(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_connections=8) as pages:
        scrape = await pages.connect()
        scrape.writer.transport.pause_reading()  # type: ignore[attr-defined]
        scrapes = 400
        for _ in range(scrapes):
            scrape.send("/metrics", BEARER)  # more than the buffers between the two hold
        await idle_flood(pages, 60)
        scrape.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(scrapes):
            assert (await scrape.read()).body.endswith("\n")
        scrape.close()


async def test_scraper_keeps_its_connection_between_scrapes(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_connections=8) as pages:
        scraper = await pages.connect()
        for _ in range(3):
            scraper.send("/metrics", BEARER)
            assert (await scraper.read()).status == 200
            await idle_flood(pages, 30)
        scraper.close()


async def test_request_is_answered_though_a_flood_comes_before_it_is_read(tmp_path: Path) -> None:
    """The server is busy with other things while they all come: it finds them together."""
    async with serving(tmp_path, web_max_connections=64) as pages:
        probe, *flooding = [socket.create_connection((pages.host, pages.port), PATIENCE) for _ in range(400)]
        probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        probe.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            answer = await asyncio.get_running_loop().sock_recv(probe, 64)
        assert answer.startswith(b"HTTP/1.1 200")
        for each in (probe, *flooding):
            each.close()


async def test_flood_of_connections_closes_those_of_its_own_address(tmp_path: Path) -> None:
    async with serving(tmp_path, web_max_connections=8) as pages:
        quiet = await pages.connect("127.0.0.2")
        await idle_flood(pages, 60)
        quiet.send("/healthz")
        assert (await quiet.read()).status == 200
        quiet.close()


async def idle_flood(pages: Pages, count: int) -> None:
    """Open connections and say nothing; return once the server has them."""
    idle: list[Connection] = [await pages.connect() for _ in range(count)]
    assert (await pages.ask("/healthz")).status == 200
    for each in idle:
        each.close()


# Settings


@given(st.text())
def test_token_alone_is_accepted(header: str) -> None:
    given_token = header.strip().lower()[:7] == "bearer " and header[7:].strip() == TOKEN
    assert allowed(header, Secret(TOKEN)) is given_token
    assert allowed(header, Secret(""))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "worker.example", ""])
def test_host_open_to_others_needs_a_token(host: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_TOKEN"):
        Settings.make(web_host=host)
    assert Settings.make(web_host=host, web_token=Secret(TOKEN)).web.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert Settings.make(web_host=host).web.host == host


@pytest.mark.parametrize("token", ["short", "with a space in it", "not-ascii-\xfc\xfc\xfc\xfc\xfc\xfc\xfc"])
def test_unsendable_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_TOKEN") as refused:
        Settings.make(web_token=Secret(token))
    assert token not in str(refused.value)
