"""Requests about users of other workers: sent on once, with the answer passed back, or refused for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.topics import EVENTS
from streams.api import forwarding
from streams.api.forwarding import FORWARDED, owner_of
from tests.support.api import PARTITIONS, ApiWorld, api_world, message, problem
from tests.support.pages import TOKEN
from tests.support.patience import PATIENCE

EVERY = {EVENTS.name: list(range(PARTITIONS))}
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def two_workers(**settings: Any) -> AsyncIterator[tuple[ApiWorld, ApiWorld]]:
    """A worker without partitions, and one that has them all; both name the other one's address."""
    async with api_world(token=TOKEN, **settings) as without, api_world(token=TOKEN, **settings) as owner:
        without.lanes.clear()
        without.addresses = {f"http://127.0.0.1:{owner.client.port}/v1": EVERY}
        yield without, owner


def test_owner_is_the_address_that_has_the_partition() -> None:
    addresses = {"a": {"t": [0, 2], "other": [1]}, "b": {"t": [1]}, "c": {}}
    assert [owner_of(partition, "t", addresses) for partition in range(4)] == ["a", "b", "a", None]


async def test_request_about_a_user_of_another_worker_is_answered_by_that_one() -> None:
    async with two_workers() as (without, owner):
        await owner.did("ann/b c", "film-1")
        told = await without.ask("GET", "/v1/recommendations/ann%2Fb%20c", headers=AUTHORIZED, count=3)
        assert (told.status, told.content_type) == (200, "application/json")
        found = await told.json()
        assert (found["origin"], len(found["entries"])) == ("published", 3)
        body = {"user": "ann/b c", "filter": {"all_of": ["horror"]}, "count": 2}
        told = await without.ask("POST", "/v1/recommend", body, headers=AUTHORIZED)
        assert [entry["title"].split()[1] for entry in (await told.json())["entries"]] == ["Horror", "Horror"]
        assert owner.bench.count("ouzel_api_requests_total", operation="recommend", status="200") == 1
        assert without.bench.count("ouzel_api_requests_total", operation="recommend", status="200") == 1


async def test_stream_of_a_user_of_another_worker_is_passed_on() -> None:
    async with two_workers() as (without, owner):
        await owner.did("ann", "film-1")
        stream = await without.ask("GET", "/v1/users/ann/stream", headers=AUTHORIZED)
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert (await message(stream))["id"] == owner.bench.made("ann")[-1].id
        await owner.did("ann", "film-6")
        assert (await message(stream))["id"] == owner.bench.made("ann")[-1].id
        partition = owner.api._ownership._own_users.partition("ann")
        assert partition is not None
        owner.bench.lists.revoke(partition)
        async with asyncio.timeout(PATIENCE):
            await stream.content.read()


async def test_problems_of_the_other_worker_are_passed_back() -> None:
    async with two_workers() as (without, owner):
        owner.lane.state = None
        answer = await without.ask("GET", "/v1/recommendations/ann", headers=AUTHORIZED)
        assert answer.headers["Retry-After"] == "2"
        await problem(answer, 503, "starting")


async def test_request_is_sent_on_once() -> None:
    async with two_workers() as (without, owner):
        owner.lanes.clear()
        owner.addresses = {f"http://127.0.0.1:{without.client.port}/v1": EVERY}
        await problem(await without.ask("GET", "/v1/recommendations/ann", headers=AUTHORIZED), 503, "owner-unreached")
        assert owner.bench.count("ouzel_api_requests_total", operation="getRecommendations", status="503") == 1
        hopped = {**AUTHORIZED, FORWARDED: "1"}
        await problem(await without.ask("GET", "/v1/recommendations/ann", headers=hopped), 503, "owner-unreached")
        assert owner.bench.count("ouzel_api_requests_total", operation="getRecommendations", status="503") == 1


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        ({}, "moves between workers"),
        ({"http://127.0.0.1:1/v1": EVERY}, "moves between workers"),
        ({"http://worker-7:6066": EVERY}, "OUZEL_WEB_API=on and OUZEL_WEB_URL"),
        ({"http://127.0.0.1:9/v1": EVERY}, "does not answer"),
    ],
    ids=["unknown", "own address", "without the API", "nothing listens"],
)
async def test_user_whose_worker_cannot_be_reached_is_refused_for_a_while(
    addresses: dict[str, dict[str, list[int]]], says: str
) -> None:
    async with api_world() as world:
        world.lanes.clear()
        world.addresses = addresses
        found = await problem(await world.ask("GET", "/v1/recommendations/ann"), 503, "owner-unreached")
        assert says in found["detail"]
        assert "of ouzel.events, the user's," in found["detail"]


async def test_worker_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "ANSWER_SECONDS", 0.2)
    async with two_workers() as (without, owner):
        owner.bench.lists.one_off._users_wait = lambda: True
        owner.bench.lists.one_off._patience_s = 60.0
        answer = await without.ask("POST", "/v1/recommend", {"user": "ann"}, headers=AUTHORIZED)
        assert "does not answer" in (await problem(answer, 503, "owner-unreached"))["detail"]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>another server</html>", content_type="text/html"),
        web.Response(status=302, headers={"Location": "http://evil.example/"}),
        web.Response(status=401, text="{}", content_type="application/problem+json"),
        web.Response(text='"' + "x" * 5_000_000 + '"', content_type="application/json"),
    ],
    ids=["html", "redirect", "other token", "large"],
)
async def test_answers_that_no_worker_of_the_group_gives_are_not_passed_back(answer: web.Response) -> None:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return answer

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    async with TestServer(application) as other, api_world(token=TOKEN) as world:
        world.lanes.clear()
        world.addresses = {f"http://127.0.0.1:{other.port}/v1": EVERY}
        refused = await world.ask("GET", "/v1/recommendations/ann", headers=AUTHORIZED)
        assert "x" * 100 not in str(await problem(refused, 503, "owner-unreached"))
