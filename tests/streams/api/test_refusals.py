"""What the API refuses, each time as a problem: tokens, hosts, origins, methods, paths, sizes and rates."""

import asyncio
from pathlib import Path

import pytest

from streams.app import create_app
from streams.errors import BadSetting
from streams.settings import Settings
from tests.support.api import api_world, problem
from tests.support.pages import BEARER, TOKEN, serving

SHOP = "https://shop.example"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


async def test_token_is_needed_by_every_path_of_the_api() -> None:
    async with api_world(token=TOKEN) as world:
        for method, path in (("GET", "/v1/openapi.json"), ("POST", "/v1/events"), ("GET", "/v1/nowhere")):
            answer = await world.ask(method, path)
            assert "WWW-Authenticate" in answer.headers
            await problem(answer, 401, "token-needed")
        answer = await world.ask("GET", "/v1/openapi.json", headers=AUTHORIZED)
        assert answer.status == 200


async def test_paths_and_methods_that_there_are_not() -> None:
    async with api_world() as world:
        await problem(await world.ask("GET", "/v1/nowhere"), 404, "not-found")
        await problem(await world.ask("GET", "/v1/"), 404, "not-found")
        answer = await world.ask("DELETE", "/v1/events")
        assert answer.headers["Allow"] == "POST"
        await problem(answer, 405, "method-not-allowed")


async def test_other_host_name_is_refused_without_a_token() -> None:
    async with api_world() as world:
        answer = await world.ask("GET", "/v1/openapi.json", headers={"Host": "evil.example"})
        await problem(answer, 421, "host-refused")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_other_sites_are_refused(headers: dict[str, str]) -> None:
    async with api_world(web_cors_origins=SHOP) as world:
        answer = await world.ask("GET", "/v1/recommendations/ann", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
        await problem(answer, 403, "origin-refused")
        assert world.refusals == ["origin"]


async def test_listed_sites_may_ask_from_a_browser() -> None:
    async with api_world(token=TOKEN, web_cors_origins=f"{SHOP}, http://localhost:3000") as world:
        asked = {
            "Origin": SHOP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        preflight = await world.ask("OPTIONS", "/v1/recommend", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        answer = await world.ask("POST", "/v1/recommend", {}, headers={"Origin": SHOP, **AUTHORIZED})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, SHOP)
        assert answer.headers["Vary"] == "Origin"
        refused = await world.ask("POST", "/v1/recommend", {}, headers={"Origin": SHOP})
        assert refused.headers["Access-Control-Allow-Origin"] == SHOP, "so that the page can read the problem"
        await problem(refused, 401, "token-needed")
        other = await world.ask("OPTIONS", "/v1/recommend", headers={**asked, "Origin": "https://evil.example"})
        assert other.status == 401
        own = f"http://127.0.0.1:{world.client.port}"
        answer = await world.ask("GET", "/v1/openapi.json", headers={"Origin": own, **AUTHORIZED})
        assert answer.status == 200, "the worker's own origin"


async def test_requests_of_an_address_are_bounded() -> None:
    async with api_world(web_api_per_second=3) as world:
        told = [(await world.client.get("/v1/openapi.json")).status for _ in range(5)]
        assert told == [200, 200, 200, 429, 429]
        await problem(await world.client.get("/v1/openapi.json"), 429, "too-many-requests")
        world.seconds += 1
        assert (await world.client.get("/v1/openapi.json")).status == 200


async def test_large_bodies_are_refused_where_they_are_not_expected() -> None:
    async with api_world() as world:
        answer = await world.client.get("/v1/recommendations/ann", data=b"x" * 5_000)
        await problem(answer, 413, "body-too-large")


async def test_queries_and_paths_are_checked() -> None:
    async with api_world() as world:
        for query in ("count=ten", "count=0", "counts=1", "count=1&count=2", "scene=" + "x" * 33, "scene=%07"):
            await problem(await world.client.get(f"/v1/recommendations/ann?{query}"), 422, "invalid")
        await problem(await world.ask("GET", "/v1/recommendations/" + "x" * 129), 422, "invalid")
        await problem(await world.ask("GET", "/v1/recommendations/a%00b"), 422, "invalid")
        for odd in ("a%2Fb", "%F0%9F%A6%A6", "%CD%B8", "%E2%80%AE", "%C2%A0"):  # an unassigned character, among others
            assert (await world.ask("GET", f"/v1/recommendations/{odd}")).status == 200


async def test_failure_of_a_handler_names_nothing_but_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with api_world() as world:
        world.api.lists = object()  # type: ignore[assignment]
        found = await problem(await world.ask("POST", "/v1/recommend", {}), 500, "failed")
        assert "Attribute" not in str(found)
    assert "A page failed: AttributeError" in caplog.text


# On the worker's own server


async def test_api_is_off_by_default_and_leaves_other_pages_as_they_are(tmp_path: Path) -> None:
    async with serving(tmp_path) as pages:
        assert (await pages.ask("/v1/openapi.json", BEARER)).status == 404
    async with serving(tmp_path, web_api="on") as pages:
        described = await pages.ask("/v1/openapi.json", BEARER)
        assert described.status == 200
        assert described.headers["X-Content-Type-Options"] == "nosniff"
        refused = await pages.ask("/v1/openapi.json")
        assert (refused.status, refused.headers["Content-Type"]) == (401, "application/problem+json")
        assert (await pages.ask("/", BEARER)).status == 404
        assert (await pages.ask("/nowhere", BEARER)).body == "Not Found\n"
        starting = await pages.ask("/v1/recommendations/ann", BEARER)
        assert (starting.status, starting.headers["Retry-After"]) == (503, "2")
    async with serving(tmp_path, web_api="on", web_page="on") as pages:
        assert (await pages.ask("/", BEARER)).status == 200
        assert (await pages.ask("/v1/openapi.json", BEARER)).status == 200


async def test_unsent_body_does_not_hold_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.web.bodies.BODY_SECONDS", 0.2)
    async with serving(tmp_path, web_api="on") as pages:
        connection = await pages.connect()
        headers = ("Content-Type: application/json", "Content-Length: 10", BEARER)
        connection.send("/v1/events", *headers, method="POST")
        answer = await asyncio.wait_for(connection.read(), 10)
        connection.close()
    assert answer.status == 408
    assert "body-too-slow" in answer.body


def test_api_needs_a_worker_that_makes_lists(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_API=on needs a worker that makes lists"):
        _ = create_app(Settings.make(state_dir=tmp_path, web_api="on", duties="contexts")).web


@pytest.mark.parametrize(
    "wrong",
    [
        {"web_url": "10.0.0.7:6066"},
        {"web_url": "http://worker/path"},
        {"web_url": "ftp://worker"},
        {"web_cors_origins": "shop.example"},
        {"web_cors_origins": "https://shop.example/, http://x"},
        {"web_cors_origins": "*"},
        {"web_api": "yes"},
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_"):
        Settings.make(**wrong)


def test_address_follows_from_host_and_port_on_loopback() -> None:
    assert Settings.make(web_port=7000).web.address == "http://127.0.0.1:7000"
    assert Settings.make(web_host="::1").web.address == "http://[::1]:6066"
    assert Settings.make(web_url="https://w1.example").web.address == "https://w1.example"
