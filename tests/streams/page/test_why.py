"""Why an entry is on a list, over HTTP: whom the question is about, the language, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from schemas.events import EventKind
from schemas.recommendations import Recommendation
from schemas.shown import shown_in_line
from streams.clock import Clock
from streams.fold.context import EMPTY, Interaction
from streams.fold.marking import UNKEYED
from streams.page.requests import GUEST, Checked
from streams.page.views import namer
from streams.page.why import Shown, Why
from streams.ranking.causes import Causes
from streams.serving.explaining import Explained, NotExplained, Subject
from tests.streams.page.test_views import HOSTILE, catalogue, recommendation

TITLES = ["A", "B", *HOSTILE]


class World:
    """The route, with explanations that are made up."""

    def __init__(self) -> None:
        self.unexplained = ""
        self.done: list[str] = []
        self.seconds = 0.0
        self.starting = False
        items = catalogue(*TITLES)
        why = Why(
            shown=self.shown,
            explaining=lambda: None if self.starting else self,  # type: ignore[arg-type, return-value]
            name=namer(items),
            clock=Clock(now_ms=lambda: 0, monotonic=lambda: self.seconds),
        )
        application = web.Application()
        checked = Checked("token", lambda _: None)
        for method, path, handle in why.routes:
            application.router.add_route(method, path, checked.answered(handle))
        self.client = TestClient(TestServer(application))

    def shown(self, key: str, user: str | None) -> Shown | None:
        if key == "incognito-key":
            return Shown(recommendation(["i0", "i1"]), Subject(lambda: EMPTY, UNKEYED, None, None), self.left)
        return Shown(recommendation(["i0", "i1"]), Subject(lambda: EMPTY, UNKEYED, 7, "u")) if user == "u" else None

    async def left(self) -> None:
        self.done.append("left")

    async def explain(self, made: Recommendation, _subject: Subject) -> Explained:
        if self.unexplained:
            raise NotExplained(self.unexplained)
        events = (Interaction("i4", EventKind.LIKE, 2, 1), Interaction("i1", EventKind.VIEW, 1, 2))
        adds, places = np.array([[0.25], [-0.5]]), np.array([[9], [1]])
        causes = Causes(events, score=np.array([1.0]), place=np.array([2]), adds=adds, place_without=places)
        return Explained(made.user, {made.entries[0].item: 0}, causes, made.model_version)

    async def ask(self, key: str = "", **query: str) -> ClientResponse:
        headers = {GUEST: key} if key else {}
        return await self.client.get("/page/api/why", params=query, headers=headers)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.client:
        yield made


async def test_entry_of_the_last_list_is_explained_in_the_reader_s_language(world: World) -> None:
    answer = await world.ask(user="u", list="l", item="i0", languages="zh-CN,en")
    assert answer.status == 200
    found: dict[str, Any] = await answer.json()
    assert (found["language"], found["score"], found["place"], found["events"]) == ("zh", 1.0, 2, 2)
    assert [(cause["did"]["kind"], cause["adds"], cause["place"]) for cause in found["causes"]] == [
        ("view", -0.5, 1),
        ("like", 0.25, 9),
    ]
    assert shown_in_line(TITLES[4]) in found["sentence"]
    english = await (await world.ask(user="u", list="l", item="i0")).json()
    assert english["sentence"].startswith("Of your last 2 events, your like of")


async def test_question_about_another_list_or_entry_is_refused(world: World) -> None:
    for query in ({"user": "u"}, {"list": "l", "item": "i0"}, {"user": "u", "list": "old", "item": "i0"}):
        assert (await world.ask(**query)).status == 409
    answer = await world.ask(user="u", list="l", item="i1")
    assert (answer.status, "would not be on the list" in await answer.text()) == (409, True)
    world.unexplained = "The model did not answer in time."
    answer = await world.ask(user="u", list="l", item="i0")
    assert (answer.status, await answer.json()) == (409, {"error": world.unexplained})
    world.starting = True
    assert (await world.ask(user="u", list="l", item="i0")).status == 409


async def test_flood_of_questions_is_refused_for_a_moment(world: World) -> None:
    answers = [(await world.ask(user="u", list="l", item="i0")).status for _ in range(40)]
    assert answers[0] == 200
    assert answers[-1] == 429
    world.seconds += 1.0
    assert (await world.ask(user="u", list="l", item="i0")).status == 200


async def test_visitor_without_a_user_is_left_nothing_of_after_each_question(world: World) -> None:
    assert (await world.ask("incognito-key", list="l", item="i0")).status == 200
    world.unexplained = "No."
    assert (await world.ask("incognito-key", list="l", item="i0")).status == 409
    assert world.done == ["left", "left"]
