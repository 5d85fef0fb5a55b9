"""Incognito: sessions in memory, and what they are answered over HTTP."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.events import Event, EventKind
from streams.clock import SYSTEM, Clock
from streams.page import incognito_routes
from streams.page.guests import MAX_DONE
from streams.page.incognito import Session, Sessions
from streams.page.incognito_routes import Incognito
from streams.page.requests import GUEST, TOKEN, Checked
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.patience import PATIENCE


def session(key: str, used: float = 0.0) -> Session:
    return Session(key, "incognito", number=-2, used=used)


def event(number: int) -> Event:
    return Event(id=f"e{number}", user="incognito", kind=EventKind.LIKE, ts=number, item="i")


# Sessions


def test_session_is_found_until_it_has_been_idle() -> None:
    sessions = Sessions(idle_s=10)
    sessions.add(session("a"))
    assert sessions.find("a", 9.0) is not None
    assert sessions.find("a", 19.0) is not None, "used at 9"
    assert sessions.find("a", 30.0) is None
    assert [each.key for each in sessions.over(30.0)] == ["a"]
    assert len(sessions) == 0
    assert sessions.find("", 0.0) is None


def test_longest_idle_session_makes_room() -> None:
    sessions = Sessions(most=2)
    for at, key in enumerate("abc"):
        sessions.add(session(key, at))
        sessions.find("a", at)
    assert [each.key for each in sessions.over(3.0)] == ["b"]
    assert len(sessions) == 2


def test_dropped_session_is_held_no_more() -> None:
    sessions, one = Sessions(), session("a")
    sessions.add(one)
    assert one in sessions
    sessions.drop(one)
    assert one not in sessions
    assert session("a") not in sessions


def test_events_of_a_session_are_bounded_and_without_what_is_withdrawn() -> None:
    one = session("a")
    for number in range(MAX_DONE + 3):
        one.add(event(number))
    one.withdrawn.add("e50")
    held = [each.id for each in one.events((event(900),), without="e60")]
    assert len(held) == MAX_DONE - 1
    assert held[0] == "e3"
    assert held[-1] == "e900"
    assert not {"e50", "e60"} & set(held)


# Over HTTP


class World:
    """The routes, on a list path in memory."""

    def __init__(self, scorer: ScriptedScorer | None, **settings: Any) -> None:
        self.bench = Bench(scorer, **settings)
        self.seconds = 0.0
        self.held: list[int] = []
        self.serves = True
        numbers = itertools.count(1)
        self.incognito = Incognito(
            lists=lambda: self.bench.lists.one_off if self.serves else None,
            catalogue=self.bench.lists._catalogue,
            likes_of=lambda user: ("film-3", "film-8") if user == "u" else (),
            draw=lambda size: f"{next(numbers):0{2 * size}x}",
            clock=Clock(now_ms=SYSTEM.now_ms, monotonic=lambda: self.seconds),
            held=self.held.append,
        )
        checked = Checked("token", lambda why: None)
        application = web.Application()
        for method, path, handle in self.incognito.routes:
            application.router.add_route(method, path, checked.answered(handle))
        application.on_shutdown.append(self.incognito.close)
        self.client = TestClient(TestServer(application))

    async def post(self, path: str, body: Any, key: str | None = None) -> ClientResponse:
        address = self.client.make_url("")
        headers = {"Origin": f"http://{address.host}:{address.port}", TOKEN: "token"}
        if key is not None:
            headers[GUEST] = key
        return await self.client.post(f"/page/api/incognito{path}", json=body, headers=headers)

    async def start(self, *likes: str, **more: object) -> dict[str, Any]:
        answer = await self.post("", {"likes": list(likes or ("film-1", "film-6")), **more})
        assert answer.status == 200, await answer.text()
        return await answer.json()


@asynccontextmanager
async def served(scorer: ScriptedScorer | None = None, **settings: Any) -> AsyncIterator[World]:
    world = World(scorer, **settings)
    async with running(world.bench), world.client:
        yield world


def titles(answer: dict[str, Any]) -> list[str]:
    return [entry["item"]["title"] for entry in answer["list"]["entries"]]


async def test_each_action_is_answered_with_the_list_that_follows_from_it() -> None:
    async with served() as world:
        first = await world.start("film-1", "film-6")
        assert [done["title"] for done in first["guest"]["done"]] == ["The Drama of Number 6", "The Drama of Number 1"]
        assert len(titles(first)) == 10
        assert first["list"]["left"] is None
        assert first["list"]["reflects"]["title"] == "The Drama of Number 6"
        item = first["list"]["entries"][0]["item"]
        act = {"kind": "dismiss", "item": item["id"], "list": first["list"]["id"]}
        second = await (await world.post("/events", act, first["key"])).json()
        assert second["list"]["left"] == [item["title"]]
        assert second["list"]["reflects"]["kind"] == "dismiss"
        assert {entry["was"] for entry in second["list"]["entries"]} != {None}
        withdrawn = {"event": second["guest"]["done"][0]["id"]}
        third = await (await world.post("/withdrawals", withdrawn, first["key"])).json()
        assert titles(third) == titles(first)
        assert third["list"]["reflects"]["kind"] == "forget"
        assert third["guest"]["done"][0]["withdrawn"]
        assert (await world.post("/withdrawals", withdrawn, first["key"])).status == 422
        assert third["list"]["without_model"] is not None
    assert world.bench.sent == []


async def test_copy_of_a_user_can_be_incognito() -> None:
    async with served() as world:
        answer = await (await world.post("", {"like_user": "u"})).json()
        assert [done["title"] for done in answer["guest"]["done"]] == [
            "The Western of Number 8",
            "The Western of Number 3",
        ]


async def test_wish_is_read_by_the_model_and_taken_back() -> None:
    scorer = ScriptedScorer(meaning_of=lambda _, names: [1.0 if name == "horror" else 0.0 for name in names])
    async with served(scorer) as world:
        started = await (await world.post("", {"wish": "more horror"})).json()
        key = started["key"]
        while not started["list"]["wishes"][0]["read"]:
            started = await (await world.post("/events", {"kind": "click", "item": "film-1"}, key)).json()
        assert started["list"]["wishes"][0]["means"] == [["horror", 1.0]]
        assert "Horror" in titles(started)[0]
        asked = await (await world.post("/wishes", {"text": "and more of it"}, key)).json()
        assert len(asked["list"]["wishes"]) == 2
        assert asked["guest"]["done"][0]["title"] == "and more of it"
        taken = {"event": asked["guest"]["done"][0]["id"]}
        back = await (await world.post("/withdrawals", taken, key)).json()
        assert len(back["list"]["wishes"]) == 1


async def test_leaving_erases_the_session_here_and_in_the_model() -> None:
    scorer = ScriptedScorer()
    async with served(scorer) as world:
        key = (await world.start())["key"]
        assert world.held[-1] == 1
        assert await (await world.post("/erasures", {}, key)).json() == {"erased": True, "model": True}
        assert world.held[-1] == 0
        assert scorer.forgotten == [scorer.asked[0].session]
        assert scorer.forgotten[0] < 0
        assert (await world.post("/events", {"kind": "like", "item": "film-2"}, key)).status == 410
        assert (await world.post("/erasures", {}, key)).status == 410
        second = (await world.start())["key"]
        scorer.script = Script.DOWN
        assert await (await world.post("/erasures", {}, second)).json() == {"erased": True, "model": False}
    assert world.bench.sent == []


async def test_session_that_ends_while_its_list_is_made_leaves_nothing_in_the_model() -> None:
    scorer = ScriptedScorer()
    async with served(scorer, list_deadline_ms=60_000) as world:
        key = (await world.start())["key"]
        scorer.script = Script.SLOW
        acting = asyncio.create_task(world.post("/events", {"kind": "like", "item": "film-2"}, key))
        await world.bench.until(lambda: len(scorer.asked) == 2)
        scorer.script = Script.ANSWER
        assert (await world.post("/erasures", {}, key)).status == 200
        scorer.release()
        assert (await acting).status == 410
    assert len(scorer.forgotten) == 2, "once as the visitor left, once after the list"


async def test_idle_sessions_are_swept_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incognito_routes, "SWEEP_SECONDS", 0.01)
    scorer = ScriptedScorer()
    async with served(scorer) as world:
        await world.start()
        world.seconds = 10_000.0
        async with asyncio.timeout(PATIENCE):
            await world.bench.until(lambda: world.held[-1] == 0 and bool(scorer.forgotten))


async def test_session_beyond_the_limit_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as world:
        monkeypatch.setattr(world.incognito, "_sessions", Sessions(most=1))
        first, second = await world.start(), await world.start()
        assert (await world.post("/events", {"kind": "like", "item": "film-2"}, first["key"])).status == 410
        assert (await world.post("/events", {"kind": "like", "item": "film-2"}, second["key"])).status == 200


async def test_list_that_cannot_be_made_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as world:
        key = (await world.start())["key"]
        monkeypatch.setattr("streams.serving.one_off.MAX_WANTED", 0)
        answer = await world.post("/events", {"kind": "like", "item": "film-2"}, key)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert "as many lists as it can" in (await answer.json())["error"]
        assert (await world.post("", {"likes": ["film-1"]})).status == 503
        monkeypatch.undo()
        done = (await (await world.post("/events", {"kind": "like", "item": "film-3"}, key)).json())["guest"]["done"]
        assert len(done) == 3
        world.serves = False
        assert (await world.post("/events", {"kind": "like", "item": "film-2"}, key)).status == 503
    assert world.held[-1] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {}),
        ("", {"likes": []}),
        ("", {"likes": ["film-1"] * 11}),
        ("", {"likes": ["unknown"]}),
        ("", {"like_user": "stranger"}),
        ("/events", {"kind": "purchase", "item": "film-1"}),
        ("/events", {"kind": "like", "item": "unknown"}),
        ("/events", {"kind": "like"}),
        ("/wishes", {"text": "x" * 281}),
        ("/withdrawals", {"event": "of another"}),
        ("/erasures", {"user": "u"}),
    ],
    ids=str,
)
async def test_unusable_request_is_refused(path: str, body: Any) -> None:
    async with served() as world:
        key = (await world.start())["key"]
        assert (await world.post(path, body, key)).status == 422
        held = world.incognito.find(key)
        assert held is not None
        assert len(held.done) == 2


async def test_fast_visitor_is_slowed_down() -> None:
    async with served() as world:
        key = (await world.start())["key"]
        click = {"kind": "click", "item": "film-2"}
        assert {(await world.post("/events", click, key)).status for _ in range(14)} == {200, 429}
        assert {(await world.post("", {"likes": ["film-1"]})).status for _ in range(14)} == {200, 429}


async def test_actions_at_the_same_time_follow_from_each_other() -> None:
    async with served() as world:
        key = (await world.start())["key"]
        acts = [{"kind": "dismiss", "item": f"film-{number}"} for number in (11, 16, 21)]
        answers = await asyncio.gather(*(world.post("/events", act, key) for act in acts))
        counts = sorted([len((await answer.json())["guest"]["done"]) for answer in answers])
    assert counts == [3, 4, 5]
