"""The live view: who is told what, and what is held in memory."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.events import Event, EventKind
from schemas.models import Role
from schemas.recommendations import Recommendation
from streams.fold.context import EMPTY, Context, fold
from streams.metrics import Metrics
from streams.page.guests import PREFIX
from streams.page.versions import versions_view
from streams.page.viewing import MAX_RECENT, Viewing
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Pair
from streams.serving.trials import Trials
from streams.web.event_streams import Stream
from tests.streams.page.test_views import catalogue, recommendation
from tests.support.version_records import status


def like(user: str, item: str = "i0", name: str = "e") -> Event:
    return Event(id=name, user=user, kind=EventKind.LIKE, ts=1, item=item)


class World:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.contexts: dict[str, Context] = {}
        self.trials = Trials()
        self.viewing = Viewing(
            catalogue=catalogue("A", "B", "C"),
            context=self.contexts.get,
            versions=lambda: versions_view(self.trials, 0),
            metrics=self.metrics,
            most_streams=4,
        )

    def happens(self, user: str, items: list[str], name: str = "e") -> Recommendation:
        made = recommendation(items, user=user, trigger=name)
        self.viewing.asked(like(user, name=name))
        self.viewing.published(made, Compared((), ("i1",), ("i2",), ("i0",)))
        return made


async def told(stream: Stream) -> list[tuple[str, Any]]:
    taken = await stream.take()
    assert taken is not None
    return [
        (message.split("\n")[0].removeprefix("event: "), json.loads(message.split("\ndata: ")[1]))
        for message in taken.decode().split("\n\n")[:-1]
    ]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for stream in list(made.viewing._streams._open):
        made.viewing.close(stream)


async def test_follower_gets_each_list_with_the_event_that_it_reflects(world: World) -> None:
    stream = world.viewing.open("u")
    assert [name for name, _ in await told(stream)] == ["pulse", "versions"]
    world.happens("other", ["i0"])
    world.happens("u", ["i0", "i1"])
    world.happens("u", ["i1", "i2"], name="e2")
    (first, one), (second, two) = await told(stream)
    assert first == second == "list"
    assert (one["left"], two["left"]) == (None, ["A"])
    assert two["reflects"] == {"user": "u", "kind": "like", "at": 1, "title": "A", "value": None}
    assert [entry["was"] for entry in two["entries"]] == [2, None]
    assert [item["title"] for item in two["without_model"]] == ["B"]


async def test_list_without_a_known_event_reflects_none(world: World) -> None:
    stream = world.viewing.open("u")
    await told(stream)
    world.viewing.published(recommendation(["i0"], trigger="unseen"), None)
    ((_, view),) = await told(stream)
    assert view["reflects"] is None
    assert view["without_model"] is None


async def test_new_page_gets_the_last_list_at_once(world: World) -> None:
    world.viewing.open(None)
    world.contexts["u"] = fold(EMPTY, like("u", "i2"), 0)
    world.happens("u", ["i1"])
    (pulse, figures), _, (name, view) = await told(world.viewing.open("u"))
    assert (pulse, name) == ("pulse", "list")
    assert view["entries"][0]["item"]["title"] == "B"
    assert [each["title"] for each in view["history"]] == ["C"]
    assert [(offer["id"], offer["last"]["title"]) for offer in figures["users"]] == [("u", "A")]


async def test_feed_and_figures_go_to_every_page(world: World) -> None:
    one, other = world.viewing.open(None), world.viewing.open("u")
    await told(one)
    await told(other)
    world.happens("v", ["i0", "i1"])
    for stream in (one, other):
        ((name, fed),) = await told(stream)
        assert name == "feed"
        assert [each["title"] for each in fed["events"]] == ["A"]
        assert fed["lists"][0]["titles"] == ["A", "B"]
    ((name, figures),) = await told(one)
    assert name == "pulse"
    assert (figures["pages"], figures["p50"]) == (2, 34.0)


async def test_view_without_a_page_watches_nothing_and_keeps_guests_only(world: World) -> None:
    assert not world.viewing.watching
    stream = world.viewing.open(None)
    assert world.viewing.watching
    assert world.metrics.registry.get_sample_value("ouzel_page_streams") == 1
    world.happens("u", ["i0"])
    world.happens(f"{PREFIX}1", ["i0"])
    world.viewing.close(stream)
    assert not world.viewing.watching
    assert world.viewing._ticking is None
    assert list(world.viewing._seen) == [f"{PREFIX}1"]


async def test_followed_users_and_guests_are_evicted_last(world: World) -> None:
    world.viewing.open("followed")
    for user in ("followed", f"{PREFIX}1", *(f"u{n}" for n in range(MAX_RECENT))):
        world.happens(user, ["i0"])
    assert len(world.viewing._seen) == MAX_RECENT
    assert {"followed", f"{PREFIX}1"} <= set(world.viewing._seen)
    assert "u0" not in world.viewing._seen


async def test_erased_user_is_dropped(world: World) -> None:
    world.viewing.open(None)
    world.happens("u", ["i0"])
    assert world.viewing.forget("u")
    assert not world.viewing.forget("u")
    assert [name for name, _ in await told(world.viewing.open("u"))] == ["pulse", "versions"]


async def test_likes_are_those_of_users_whose_lists_are_seen(world: World) -> None:
    world.viewing.open(None)
    world.contexts["u"] = fold(fold(EMPTY, like("u", "i2"), 0), like("u", "gone", name="e2"), 1)
    assert world.viewing.likes("u") == ()
    world.happens("u", ["i0"])
    assert world.viewing.likes("u") == ("i2",), "what is not in the catalogue is left out"


async def test_hit_ratios_are_those_that_the_worker_counts(world: World) -> None:
    world.metrics.judged.inc(4)
    world.metrics.hits.labels("list").inc(3)
    world.metrics.hits.labels("popularity").inc(1)
    world.metrics.lists.labels("disabled").inc(2)
    (_, figures), _ = await told(world.viewing.open(None))
    assert figures["hits"] == {"judged": 4, "list": 0.75, "without_model": 0.0, "popularity": 0.25, "item_knn": 0.0}
    assert (figures["lists"], figures["degraded"]) == (2, 2)


async def test_versions_are_told_to_all_pages_once_they_change(world: World) -> None:
    one, other = world.viewing.open(None), world.viewing.open("u")
    for stream in (one, other):
        assert dict(await told(stream))["versions"]["live"] is None
    world.trials.take_status(status(1, Role.CHAMPION))
    for stream in (one, other):
        found = []
        while "versions" not in (found := [name for name, _ in await told(stream)]):
            assert found == ["pulse"], "only the figures until something changed"
    late = dict(await told(world.viewing.open(None)))
    assert late["versions"]["live"]["number"] == 1


async def test_order_of_the_other_version_goes_to_followers_of_the_list_that_it_is_of(world: World) -> None:
    stream = world.viewing.open("u")
    made = world.happens("u", ["i0", "i1"])
    await told(stream)
    pair = Pair("v1", "v2", ("i0", "i1"), ("i2", "gone"), canary=False)
    world.viewing.paired("u", "an older list", pair)
    world.viewing.paired("stranger", made.id, pair)
    world.viewing.paired("u", made.id, pair)
    ((name, view),) = await told(stream)
    assert (name, view["list"], view["canary"]) == ("pair", made.id, False)
    assert [item["title"] for item in view["items"]] == ["C", "gone"]
    assert [name for name, _ in await told(world.viewing.open("u"))] == ["pulse", "versions", "list", "pair"]
    world.happens("u", ["i1"], name="e2")
    assert [name for name, _ in await told(world.viewing.open("u"))] == ["pulse", "versions", "list"]


async def test_scene_is_known_of_users_whose_lists_are_seen(world: World) -> None:
    world.viewing.open(None)
    assert world.viewing.scene_of("u") is None
    world.viewing.asked(like("u"))
    assert world.viewing.scene_of("u") is None
    world.happens("u", ["i0"])
    assert world.viewing.scene_of("u") == "default"
