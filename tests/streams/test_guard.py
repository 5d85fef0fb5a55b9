"""What stands before the worker's pages: token, rate, sizes, connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from inference.ports import free_ports
from streams.clock import SYSTEM
from streams.errors import BadSetting
from streams.guard import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_LINE_BYTES, Bucket, _BoundedSite, allowed, guard
from streams.settings import Secret, Settings

TOKEN = "a-token-of-the-tests"


@asynccontextmanager
async def serving(most: int = 64, **settings: object) -> AsyncIterator[str]:
    """The guard before a page at /metrics and one at /healthz; the address."""
    app = web.Application(
        middlewares=[guard(Settings(**settings), SYSTEM)],  # type: ignore[arg-type]
        client_max_size=MAX_BODY_BYTES,
    )

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    async def failing(request: web.Request) -> web.Response:
        raise RuntimeError("of somebody")

    for path in ("/metrics", "/healthz"):
        app.router.add_get(path, page)
    app.router.add_get("/fails", failing)
    runner = web.AppRunner(app, access_log=None, max_line_size=MAX_LINE_BYTES, max_field_size=MAX_HEADER_BYTES)
    await runner.setup()
    port = free_ports(1)[0]
    await _BoundedSite(runner, "127.0.0.1", port, most=most).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def status(session: aiohttp.ClientSession, url: str, method: str = "GET", **more: object) -> int:
    async with session.request(method, url, **more) as answer:  # type: ignore[arg-type]
        await answer.read()
        return answer.status


async def test_metrics_need_the_token_and_probes_do_not() -> None:
    async with serving(web_token=Secret(TOKEN)) as url, aiohttp.ClientSession() as session:
        assert await status(session, url + "/healthz") == 200
        assert await status(session, url + "/metrics") == 401
        for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff\xfe"):
            assert await status(session, url + "/metrics", headers={"Authorization": wrong}) == 401
        assert await status(session, url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) == 200
        assert await status(session, url + "/nowhere") == 401
        assert await status(session, url + "/nowhere", headers={"Authorization": f"Bearer {TOKEN}"}) == 404


async def test_a_page_that_fails_is_logged_by_its_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as url, aiohttp.ClientSession() as session:
        assert await status(session, url + "/fails") == 500
    assert "RuntimeError" in caplog.text
    assert "of somebody" not in caplog.text


async def test_without_a_token_loopback_is_open() -> None:
    async with serving() as url, aiohttp.ClientSession() as session:
        assert await status(session, url + "/metrics") == 200
        assert await status(session, url + "/metrics", "DELETE") == 405


async def test_bodies_lines_and_headers_are_bounded() -> None:
    async with serving() as url, aiohttp.ClientSession() as session:
        assert await status(session, url + "/metrics", data=b"x" * (MAX_BODY_BYTES + 1)) == 413
        assert await status(session, url + "/metrics?" + "x" * MAX_LINE_BYTES) == 400
        assert await status(session, url + "/metrics", headers={"X": "x" * 2 * MAX_HEADER_BYTES}) == 400


async def test_the_rate_is_bounded() -> None:
    async with serving(web_max_per_second=2) as url, aiohttp.ClientSession() as session:
        statuses = [await status(session, url + "/healthz") for _ in range(12)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses


async def test_whoever_holds_connections_open_keeps_nobody_out() -> None:
    async with serving(most=5) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            assert await status(session, url + "/healthz") == 200
            ended = [reader for reader, _ in idle[:14]]
            for reader in ended:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
        for _, writer in idle:
            writer.close()


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(1, 20))
def test_a_bucket_never_lets_more_through_than_it_says(gaps: list[float], per_second: float) -> None:
    bucket, now, taken = Bucket(per_second), 100.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= per_second * (1 + now - 100.0) + 1e-6


@given(st.text())
def test_only_the_token_is_the_token(header: str) -> None:
    assert allowed(header, TOKEN) is (header.strip().lower()[:7] == "bearer " and header[7:].strip() == TOKEN)
    assert allowed(header, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "worker.example", ""])
def test_a_host_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_TOKEN"):
        Settings(web_host=host)
    assert Settings(web_host=host, web_token=Secret(TOKEN)).web_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert Settings(web_host=host).web_host == host


@pytest.mark.parametrize("token", ["short", "with a space in it", "not-ascii-\xfc\xfc\xfc\xfc\xfc\xfc\xfc"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_said(token: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_TOKEN") as refused:
        Settings(web_token=Secret(token))
    assert token not in str(refused.value)
