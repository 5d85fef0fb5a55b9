"""Search over HTTP: what is found, in whose order, and who is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from schemas.events import Event, EventKind
from schemas.items import Item
from streams.clock import SYSTEM, Clock
from streams.graph.item_graph import ItemGraph
from streams.items.search import SearchIndex
from streams.page import searching
from streams.page.requests import GUEST, Checked
from streams.page.searching import Searching, Whose
from streams.serving import searching as serving_searching
from streams.serving.searching import Search
from tests.streams.page.test_views import HOSTILE
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.pages import serving
from tests.support.pipeline import films


def like(item: str) -> Event:
    return Event(id=f"e-{item}", user="u", kind=EventKind.LIKE, ts=SYSTEM.now_ms(), item=item)


class World:
    """The route, on a list path in memory. The page's `key` is that of a visitor who did `events`."""

    def __init__(self) -> None:
        self.bench = Bench(None)
        self.events: list[Event] = []
        self.seconds = 0.0
        self.catalogue = self.bench.lists._catalogue
        self.catalogue.search = SearchIndex()
        for film in films():
            self.catalogue.withdraw(film.id)
            self.catalogue.add(film)
        self.refusals: list[str] = []
        lists = self.bench.lists.one_off
        clock = Clock(now_ms=SYSTEM.now_ms, monotonic=lambda: self.seconds)

        def whose(key: str, user: str | None) -> Whose | None:
            known = key == "key" or (not key and user == "u")
            return Whose(key or str(user), lists.basis(self.events), "default") if known else None

        route = Searching(
            search=Search(self.catalogue.search, self.catalogue, ItemGraph(self.catalogue.index), clock),
            catalogue=self.catalogue,
            lists=lambda: lists,
            whose=whose,
            clock=clock,
        )
        checked = Checked("token", self.refusals.append)
        application = web.Application()
        for method, path, handle in route.routes:
            application.router.add_route(method, path, checked.answered(handle))
        self.client = TestClient(TestServer(application))

    async def ask(self, text: str, key: str = "key", user: str | None = None, **headers: str) -> ClientResponse:
        self.seconds += 1
        asked = {"q": text} if user is None else {"q": text, "user": user}
        return await self.client.get("/page/api/search", params=asked, headers={GUEST: key, **headers})

    async def find(self, text: str) -> dict[str, Any]:
        answer = await self.ask(text)
        assert answer.status == 200, await answer.text()
        return await answer.json()


@asynccontextmanager
async def served() -> AsyncIterator[World]:
    world = World()
    async with running(world.bench), world.client:
        yield world


def titles(found: dict[str, Any]) -> list[str]:
    return [result["item"]["title"] for result in found["results"]]


async def test_matches_are_in_the_order_of_the_users_scores() -> None:
    async with served() as world:
        world.events = [like("film-2"), like("film-7"), like("film-12")]
        found = await world.find("number 3")
        assert found["matched"] == found["ranked"] == 11
        assert "Horror" in titles(found)[0], "the user likes horror"
        world.events = [like("film-3"), like("film-8"), like("film-13")]
        assert "Western" in titles(await world.find("number 3"))[0]


async def test_seen_items_are_marked_and_not_hidden() -> None:
    async with served() as world:
        world.events = [like("film-2")]
        found = await world.find("horror")
        assert len(found["results"]) == 8
        assert [result["item"]["id"] for result in found["results"] if result["seen"]] == ["film-2"]


async def test_title_matches_come_before_others() -> None:
    async with served() as world:
        world.catalogue.add(Item(id="western", title="Once Upon a Time", attributes=("drama", "number")))
        world.events = [like("film-1"), like("film-6")]
        found = await world.find("number")
        assert found["matched"] == 41
        assert len(found["results"]) == searching.MAX_RESULTS
        assert all(result["in_title"] for result in found["results"])
        assert titles(await world.find("once number")) == ["Once Upon a Time"]


async def test_withdrawn_and_unpublished_items_are_not_found() -> None:
    async with served() as world:
        world.catalogue.withdraw("film-2")
        world.catalogue.add(Item(id="soon", title="Horror of Tomorrow", published=SYSTEM.now_ms() + 60_000))
        found = await world.find("horror")
        assert found["matched"] == 7
        assert "film-2" not in [result["item"]["id"] for result in found["results"]]


async def test_ranked_matches_are_bounded_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_searching, "MAX_RANKED", 5)
    async with served() as world:
        found = await world.find("the")
        assert (found["matched"], found["ranked"], len(found["results"])) == (40, 5, 5)


@pytest.mark.parametrize("title", HOSTILE)
async def test_hostile_title_is_text(title: str) -> None:
    async with served() as world:
        world.catalogue.add(Item(id="hostile", title=f"zzz {title}"))
        (shown,) = titles(await world.find("zzz"))
        assert shown.isprintable()


async def test_search_without_a_match_is_empty() -> None:
    async with served() as world:
        for text in ("nothing like it", "…", "\u202e"):
            assert await world.find(text) == {"matched": 0, "ranked": 0, "whole": True, "results": []}


async def test_unusable_search_is_refused() -> None:
    async with served() as world:
        for text in ("", "x" * 81):
            assert (await world.ask(text)).status == 422
        assert (await world.ask("x", key="another")).status == 410
        assert (await world.ask("x", key="", user="stranger")).status == 422
        assert (await world.ask("x", key="", user="u")).status == 200
        assert (await world.client.get("/page/api/search")).status == 422


async def test_other_origins_cannot_search() -> None:
    async with served() as world:
        for site in ("cross-site", "same-site"):
            assert (await world.ask("the", **{"Sec-Fetch-Site": site})).status == 403
    assert world.refusals == ["origin", "origin"]


async def test_fast_searches_are_slowed_down() -> None:
    async with served() as world:
        asked = [await world.client.get("/page/api/search?q=the", headers={GUEST: "key"}) for _ in range(14)]
        assert {answer.status for answer in asked} == {200, 429}
        assert (await world.ask("the")).status == 200


async def test_searches_take_a_share_of_the_workers_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as world:
        order = world.bench.lists.one_off.order

        async def slow(*about: Any) -> Any:
            world.seconds += 1.0
            return await order(*about)

        monkeypatch.setattr(world.bench.lists.one_off, "order", slow)
        assert (await world.ask("the")).status == 200
        assert [(await world.ask("the")).status for _ in range(4)] == [429, 200, 429, 429]


async def test_worker_with_the_page_searches_only_for_whom_it_knows(tmp_path: Any) -> None:
    async with serving(tmp_path, token="", web_page="on") as pages:
        assert (await pages.ask("/page/api/search?q=x")).status == 422
        assert (await pages.ask("/page/api/search?q=x", f"{GUEST}: unknown")).status == 410
        assert (await pages.ask("/page/api/search?q=x&user=u")).status == 422
        assert pages.app.catalogue.search is not None
