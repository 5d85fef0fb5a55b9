"""The page over HTTP, behind the worker's guard: what it serves, whom it refuses, and what it sends to Kafka."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientTimeout
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import NodeNotReadyError, TopicAuthorizationFailedError

from schemas.codec import decode_event
from schemas.events import Event, EventKind
from schemas.topics import EVENTS
from streams.app import create_app
from streams.clock import Clock
from streams.errors import BadSetting
from streams.fold.context import EMPTY, fold
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from streams.page.requests import AREA, GUEST, MAX_BODY_BYTES, TOKEN
from streams.page.routes import Page, load_files
from streams.page.versions import versions_view
from streams.page.viewing import Viewing
from streams.page.views import item_view, namer
from streams.serving.trials import Trials
from streams.settings import Settings
from streams.settings.web import Web
from streams.web.guard import Guard
from tests.streams.page.test_views import HOSTILE, catalogue, recommendation
from tests.support.pages import TOKEN as BEARER_TOKEN
from tests.support.pages import serving

NOW = 1_700_000_000_000
TITLES = ["A", "B", "C", *HOSTILE]


class World:
    """The page on a separate server, with what it sends."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.refusals: list[str] = []
        self.failure: Exception | None = None
        self.seconds = 0.0
        self.user: str | None = "guest-1"
        self.metrics = Metrics()
        self.contexts = {"u": fold(EMPTY, Event(id="e", user="u", kind=EventKind.LIKE, ts=1, item="i2"), 0)}
        items = catalogue(*TITLES)
        numbers = itertools.count(1)
        clock = Clock(now_ms=lambda: NOW, monotonic=lambda: self.seconds)
        self.viewing = Viewing(
            catalogue=items,
            context=self.contexts.get,
            versions=lambda: versions_view(Trials(), 0),
            metrics=self.metrics,
            most_streams=2,
        )
        page = Page(
            viewing=self.viewing,
            publish=self.publish,
            picks=lambda: tuple(item_view(items, f"i{n}") for n in range(len(TITLES))),
            named=lambda item: namer(items)(item) if items.get(item) else None,
            new_user=lambda: self.user,
            draw=lambda size: f"{next(numbers):0{2 * size}x}",
            clock=clock,
            refused=self.refusals.append,
            sent=self.metrics.page_events.inc,
        )
        guard = Guard(Web(page="on"), clock, self.refusals.append, (AREA,))
        page.add_to(guard.application)
        self.client = TestClient(TestServer(guard.application))
        self.token = ""

    async def publish(self, outputs: Sequence[Output]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent += outputs

    def headers(self, **changed: str | None) -> dict[str, str]:
        address = self.client.make_url("")
        usual = {
            "Origin": f"http://{address.host}:{address.port}",
            "Content-Type": "application/json",
            TOKEN: self.token,
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        return {name: value for name, value in usual.items() if value is not None}

    async def post(self, path: str, body: Any, **changed: str | None) -> ClientResponse:
        return await self.client.post(f"/page/api/{path}", json=body, headers=self.headers(**changed))

    async def start(self, likes: Sequence[str] = ("i0", "i1", "i2")) -> dict[str, Any]:
        answer = await self.post("guests", {"likes": list(likes)})
        assert answer.status == 200, await answer.text()
        return await answer.json()

    def events(self) -> list[Event]:
        return [decode_event(out.value, key=out.key, now_ms=NOW) for out in self.sent if out.topic == EVENTS.name]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.client:
        made.token = (await (await made.client.get("/page/api/opening")).json())["token"]
        yield made


# Files


async def test_files_have_a_policy_without_anything_inline(world: World) -> None:
    for path, file in load_files().items():
        answer = await world.client.get(path)
        assert answer.status == 200
        assert answer.content_type == file.type
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "ouzel"
    assert {"/", "/page/page.css", "/page/page.js"} <= set(load_files())
    assert (
        (await world.client.get("/page/api/opening"))
        .headers["Content-Security-Policy"]
        .startswith("default-src 'none'; frame")
    )


def test_files_ask_for_nothing_from_elsewhere_and_make_no_markup_of_text() -> None:
    for path, file in load_files().items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text), path
        if file.type == "text/html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


# Visitors


async def test_visitor_starts_with_likes_that_go_to_kafka(world: World) -> None:
    started = await world.start()
    assert [(event.user, event.kind, event.item, event.ts) for event in world.events()] == [
        ("guest-1", EventKind.LIKE, item, NOW) for item in ("i0", "i1", "i2")
    ]
    assert len({event.id for event in world.events()}) == 3
    assert [done["title"] for done in started["guest"]["done"]] == ["C", "B", "A"]
    again = await world.client.get("/page/api/guest", headers={GUEST: started["key"]})
    assert await again.json() == started["guest"]
    assert world.metrics.registry.get_sample_value("ouzel_page_events_total") == 3


async def test_visitor_acts_on_an_item_of_a_list(world: World) -> None:
    started = await world.start()
    answer = await world.post("events", {"kind": "dismiss", "item": "i2", "list": "l"}, X_Ouzel_Guest=started["key"])
    assert (await answer.json())["done"][0]["kind"] == "dismiss"
    last = world.events()[-1]
    assert (last.kind, last.item, last.list, last.user) == (EventKind.DISMISS, "i2", "l", "guest-1")


async def test_visitor_withdraws_an_event_of_their_own_once(world: World) -> None:
    started = await world.start()
    key, event = started["key"], started["guest"]["done"][0]["id"]
    answer = await world.post("withdrawals", {"event": event}, X_Ouzel_Guest=key)
    assert [done["withdrawn"] for done in (await answer.json())["done"]] == [True, False, False]
    last = world.events()[-1]
    assert (last.kind, last.target) == (EventKind.FORGET, event)
    for refused in (event, "of-another-guest"):
        assert (await world.post("withdrawals", {"event": refused}, X_Ouzel_Guest=key)).status == 422
    assert len(world.events()) == 4


async def test_visitor_starts_with_one_sentence(world: World) -> None:
    answer = await world.post("guests", {"wish": "something funny \u202e"})
    (done,) = (await answer.json())["guest"]["done"]
    assert (done["kind"], done["title"]) == ("steer", "something funny \\u202e")
    (event,) = world.events()
    assert (event.user, event.kind, event.text, event.item) == (
        "guest-1",
        EventKind.STEER,
        "something funny \u202e",
        None,
    )


async def test_visitor_asks_for_something_and_takes_it_back(world: World) -> None:
    key = (await world.start())["key"]
    answer = await world.post("wishes", {"text": "less horror"}, X_Ouzel_Guest=key)
    done = (await answer.json())["done"][0]
    assert (world.events()[-1].kind, world.events()[-1].text) == (EventKind.STEER, "less horror")
    await world.post("withdrawals", {"event": done["id"]}, X_Ouzel_Guest=key)
    assert (world.events()[-1].kind, world.events()[-1].target) == (EventKind.FORGET, done["id"])


async def test_unusable_wish_is_refused(world: World) -> None:
    key = (await world.start())["key"]
    for body in ({}, {"text": ""}, {"text": "x" * 281}, {"text": 7}, {"text": "more", "user": "u"}):
        assert (await world.post("wishes", body, X_Ouzel_Guest=key)).status == 422
    assert (await world.post("wishes", {"text": "more"}, X_Ouzel_Guest="guest-1")).status == 410
    assert len(world.sent) == 3


async def test_visitor_is_erased_by_an_event(world: World) -> None:
    key = (await world.start())["key"]
    assert (await world.post("erasures", {}, X_Ouzel_Guest=key)).status == 200
    last = world.events()[-1]
    assert (last.kind, last.user) == (EventKind.ERASE, "guest-1")
    assert (await world.client.get("/page/api/guest", headers={GUEST: key})).status == 410


async def test_visitor_continues_as_a_copy_of_a_user_whose_lists_are_seen(world: World) -> None:
    assert (await world.post("guests", {"like_user": "u"})).status == 422
    stream = world.viewing.open(None)
    world.viewing.published(recommendation(["i0"], user="u"), None)
    assert (await world.post("guests", {"like_user": "u"})).status == 200
    world.viewing.close(stream)
    assert [(event.user, event.item) for event in world.events()] == [("guest-1", "i2")]


@pytest.mark.parametrize("number", range(3, len(TITLES)))
async def test_hostile_title_is_text_in_json(world: World, number: int) -> None:
    started = await world.client.post("/page/api/guests", json={"likes": [f"i{number}"]}, headers=world.headers())
    assert started.content_type == "application/json"
    assert (await started.json())["guest"]["done"][0]["title"].isprintable()


# Refusals


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"X_Ouzel_Token": None}, 403),
        ({"X_Ouzel_Token": "another"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Host": "attacker.example", "Origin": "http://attacker.example"}, 421),
        ({"Host": "127.0.0.1.attacker.example", "Origin": "http://127.0.0.1.attacker.example"}, 421),
    ],
    ids=str,
)
async def test_other_origins_cannot_write(world: World, changed: dict[str, str | None], status: int) -> None:
    answer = await world.post("guests", {"likes": ["i0"]}, **changed)
    assert answer.status == status
    assert not world.sent
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["opening", "guest", "stream"])
async def test_other_origins_cannot_read(world: World, path: str) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Host": "attacker.example"}):
        answer = await world.client.get(f"/page/api/{path}", headers=headers)
        assert answer.status in (403, 421)
    assert not world.viewing.watching
    assert world.refusals == ["origin", "host"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"likes": []},
        {"likes": ["i0"] * 11},
        {"likes": [7]},
        {"likes": ["x" * 129]},
        {"likes": ["unknown"]},
        {"likes": ["i0"], "user": "u"},
        {"like_user": "stranger"},
    ],
    ids=str,
)
async def test_unusable_start_is_refused(world: World, body: Any) -> None:
    answer = await world.post("guests", body)
    assert answer.status == 422
    assert (await answer.json())["error"].endswith(".")
    assert not world.sent


async def test_unusable_act_is_refused(world: World) -> None:
    key = (await world.start())["key"]
    for body in ({"kind": "erase", "item": "i0"}, {"kind": "like", "item": "unknown"}, {"kind": "like"}):
        assert (await world.post("events", body, X_Ouzel_Guest=key)).status == 422
    for guest in (None, "", "guest-1"):
        assert (await world.post("events", {"kind": "like", "item": "i0"}, X_Ouzel_Guest=guest)).status == 410
    assert len(world.sent) == 3


async def test_large_body_is_refused(world: World) -> None:
    answer = await world.post("guests", {"likes": ["x" * MAX_BODY_BYTES]})
    assert answer.status == 413
    assert not world.sent


async def test_fast_visitor_is_slowed_down(world: World) -> None:
    key = (await world.start())["key"]
    told = [(await world.post("events", {"kind": "click", "item": "i0"}, X_Ouzel_Guest=key)).status for _ in range(14)]
    assert set(told) == {200, 429}
    world.seconds += 1
    assert (await world.post("events", {"kind": "click", "item": "i0"}, X_Ouzel_Guest=key)).status == 200


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (TopicAuthorizationFailedError(EVENTS.name), "grant its user Write"),
        (NodeNotReadyError(), "Try again"),
        (TimeoutError(), "Try again"),
    ],
    ids=repr,
)
async def test_event_that_kafka_does_not_take_is_not_shown_as_done(
    world: World, failure: Exception, words: str
) -> None:
    key = (await world.start())["key"]
    world.failure = failure
    answer = await world.post("events", {"kind": "like", "item": "i0"}, X_Ouzel_Guest=key)
    assert answer.status == 503
    assert words in (await answer.json())["error"]
    guest = await (await world.client.get("/page/api/guest", headers={GUEST: key})).json()
    assert len(guest["done"]) == 3


async def test_worker_without_partitions_starts_no_guest(world: World) -> None:
    world.user = None
    answer = await world.post("guests", {"likes": ["i0"]})
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"


# Streams


async def test_pages_beyond_the_limit_are_told_so(world: World) -> None:
    first = await world.client.get("/page/api/stream", timeout=ClientTimeout(total=None))
    second = await world.client.get("/page/api/stream", timeout=ClientTimeout(total=None))
    assert first.content_type == second.content_type == "text/event-stream"
    third = await world.client.get("/page/api/stream")
    assert third.status == 503
    assert "Close one" in (await third.json())["error"]
    assert world.refusals == ["streams"]
    first.close()
    second.close()


async def test_guest_follows_their_own_lists_whatever_the_address_names(world: World) -> None:
    key = (await world.start())["key"]
    stream = await world.client.get("/page/api/stream?user=u", headers={GUEST: key})
    assert (await stream.content.readuntil(b"\n\n")).startswith(b"event: pulse\n")
    assert (await stream.content.readuntil(b"\n\n")).startswith(b"event: versions\n")
    world.viewing.published(recommendation(["i0"], user="u"), None)
    world.viewing.published(recommendation(["i1"], user="guest-1"), None)
    found = await stream.content.readuntil(b"\n\n")
    assert found.startswith(b"event: list\n")
    assert b'"user":"guest-1"' in found
    stream.close()


async def test_stream_that_is_left_is_closed(world: World) -> None:
    stream = await world.client.get("/page/api/stream")
    assert world.viewing.watching
    stream.close()
    async with asyncio.timeout(60):
        while world.viewing.watching:
            world.viewing.published(recommendation(["i0"], user="u"), None)
            await asyncio.sleep(0.05)


# In a worker


async def test_page_is_off_by_default(tmp_path: Path) -> None:
    async with serving(tmp_path, token="") as pages:
        for path in ("/", "/page/page.js", "/page/api/opening", "/page/api/stream"):
            assert (await pages.ask(path)).status == 404


async def test_worker_with_the_page_serves_it_and_stops_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, token="", web_page="on") as pages:
        assert "<title>Ouzel" in (await pages.ask("/")).body
        assert (await pages.ask("/", "Host: attacker.example")).status == 421
        connection = await pages.connect()
        connection.send("/page/api/stream")
        assert b"text/event-stream" in await connection.reader.readuntil(b"\r\n\r\n")
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 30
    connection.close()


async def test_page_needs_the_token_where_there_is_one(tmp_path: Path) -> None:
    async with serving(tmp_path, web_page="on") as pages:
        assert (await pages.ask("/page/api/opening")).status == 401
        assert (await pages.ask("/page/api/opening", f"Authorization: Bearer {BEARER_TOKEN}")).status == 200


def test_page_needs_a_worker_that_makes_lists(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="OUZEL_WEB_PAGE"):
        create_app(Settings.make(state_dir=tmp_path, web_page="on", duties="contexts"))
