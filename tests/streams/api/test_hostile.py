"""Hostile requests: none makes the API fail, show what it should not, or come back as markup."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse

from inference.scorers.scripted import ScriptedScorer
from schemas.items import Item
from tests.fuzz.damage import damaged
from tests.support.api import ApiWorld, api_world
from tests.support.pages import BEARER, TOKEN, serving

MARKUP = "<script>alert(1)</script>"
TEXTS = [
    MARKUP,
    "\"'><img src=x onerror=alert(1)>",
    "../../etc/passwd",
    "..%2f..%2f",
    "'; DROP TABLE users; --",
    "{{7*7}}${7*7}",
    "a\u202eb\u2066c\u200f",
    "\u0000\u001b]0;x\u0007",
    "🦦" * 128,
    "x" * 1_500,
    "",
    " ",
    "null",
    "-1",
    "1e999",
    "NaN",
    "ann",
    "film-1",
    "\ud7ff\ufffd",
]
VALUES: list[Any] = [*TEXTS, None, True, 0, -1, 2**63, 1.5, [], {}, [[]], {"a": {}}, ["x"] * 2_000]
ROUTES = [
    ("POST", "/v1/events"),
    ("POST", "/v1/recommend"),
    ("POST", "/v1/steer"),
    ("GET", "/v1/recommendations/{}"),
    ("GET", "/v1/items/{}"),
    ("PUT", "/v1/items/{}"),
    ("DELETE", "/v1/items/{}"),
    ("GET", "/v1/search"),
    ("GET", "/v1/explanations/{}/{}"),
    ("GET", "/v1/users/{}/context"),
    ("GET", "/v1/users/{}/export"),
    ("DELETE", "/v1/users/{}"),
    ("GET", "/v1/{}"),
]
FIELDS = [
    *("id", "user", "kind", "ts", "item", "scene", "value", "text", "target", "list", "likes", "events", "count"),
    *("filter", "exclude", "undo", "title", "attributes", "q", "limit", "offset", "published", "all_of", "items"),
]
RARE_ITEM = "rare-item"
BODY = json.dumps({"user": "ann", "kind": "like", "item": "film-1", "likes": ["film-1"], "title": MARKUP}).encode()


async def send(world: ApiWorld, rng: random.Random) -> ClientResponse:
    """Send a request that was put together of hostile parts."""
    method, route = rng.choice(ROUTES)
    path = route.format(*(quote(rng.choice(TEXTS), safe=rng.choice(["", "/.%"])) for _ in range(2)))
    names = rng.sample(FIELDS, rng.randint(0, 4))
    headers = {"Authorization": f"Bearer {TOKEN}" if rng.random() < 0.9 else "Bearer x"}
    if rng.random() < 0.2:
        headers[rng.choice(["Accept-Language", "Accept", "Ouzel-Forwarded", "X-Forwarded-For", "Cookie"])] = quote(
            rng.choice(TEXTS)
        )[:1_000]
    query: dict[str, str] = {}
    body: bytes | None = None
    if method in ("POST", "PUT") or rng.random() < 0.1:
        headers["Content-Type"] = rng.choice(["application/json"] * 8 + ["text/html", "multipart/form-data"])
        given: Any = {
            **(json.loads(BODY) if rng.random() < 0.5 else {}),
            **{name: rng.choice(VALUES) for name in names},
        }
        given = rng.choice([given, given, [given, given], {"events": [given]}, rng.choice(VALUES)])
        body = json.dumps(given, allow_nan=True).encode()
        body = damaged(body, [BODY], rng) if rng.random() < 0.2 else body
    if method == "GET" and rng.random() < 0.8:
        query = {name: rng.choice(TEXTS)[:400] for name in names[:2]}
    world.seconds += 1
    return await world.client.request(method, path, params=query, data=body, headers=headers)


async def hostile(count: int, seed: int) -> set[int]:
    """The statuses of this many requests, each checked."""
    rng, statuses = random.Random(seed), set()
    async with api_world(ScriptedScorer(), token=TOKEN, web_max_per_second=10_000.0) as world:
        world.catalogue.add(Item(id="markup", title=MARKUP, text=MARKUP, attributes=(MARKUP,)))
        world.catalogue.add(Item(id=RARE_ITEM, title="Rare"))
        world.bench.did("hidden-one", RARE_ITEM)
        await world.bench.until(lambda: bool(world.bench.made("hidden-one")))
        for _ in range(count):
            answer = await send(world, rng)
            text = await answer.text()
            about = f"{answer.method} {answer.url}: {answer.status} {text[:500]}"
            assert answer.status < 500, about
            if not answer.url.path.startswith("/v1/"):
                assert answer.status in (401, 404, 413), about  # the path led out of the API
                continue
            assert answer.content_type in ("application/json", "application/problem+json"), about
            assert json.loads(text) is not None
            assert "<" not in text, about
            assert "hidden-one" not in text, about
            assert f'"item":"{RARE_ITEM}","kind"' not in text, about
            assert "Traceback" not in text, about
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            statuses.add(answer.status)
    return statuses


async def test_hostile_requests_are_answered_with_a_problem_or_with_data() -> None:
    statuses = await hostile(600, 1)
    assert {200, 202, 401, 404, 415, 422} <= statuses


@pytest.mark.slow
async def test_many_hostile_requests_are_answered_too() -> None:
    assert {200, 202, 401, 404, 413, 415, 422} <= await hostile(6_000, 2)


async def test_titles_that_are_markup_come_back_as_text() -> None:
    async with api_world() as world:
        world.catalogue.add(Item(id=MARKUP, title=MARKUP, attributes=(MARKUP,)))
        for path in ("/v1/search?q=script", f"/v1/items/{quote(MARKUP, safe='')}", "/v1/recommendations/ann?count=100"):
            answer = await world.client.get(path)
            assert answer.status == 200
            assert b"<" not in await answer.read()
            assert MARKUP in json.dumps(await answer.json())


async def test_probes_are_answered_while_the_api_is_flooded(tmp_path: Path) -> None:
    async with serving(tmp_path, web_api="on") as pages:

        async def flood(number: int) -> None:
            for at in range(40):
                header = BEARER if (number + at) % 3 else "Authorization: Bearer wrong"
                told = await pages.ask(f"/v1/recommendations/{number}-{at}", header)
                assert told.status in (401, 429, 503)

        async def probe() -> None:
            for _ in range(40):
                assert (await pages.ask("/healthz")).status == 200
                assert (await pages.ask("/readyz")).body.startswith("waiting for ")

        await asyncio.gather(probe(), *(flood(number) for number in range(8)))
