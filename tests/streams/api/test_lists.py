"""Lists over HTTP: for users, for contexts in a request, published or made, and what restricts them."""

from typing import Any

import pytest
from msgspec.structs import replace

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.events import Event, EventKind
from schemas.http.lists import MAX_NAMED
from streams.fold.context import fold
from streams.serving.one_off import MAX_WANTED
from tests.support.api import api_world, problem


def items(told: dict[str, Any]) -> list[str]:
    return [entry["item"] for entry in told["entries"]]


# POST /v1/recommend


async def test_list_for_likes_is_that_of_a_user_with_these_likes() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1", "film-6")
        told = await world.post("/v1/recommend", {"likes": ["film-1", "film-6"]})
        assert items(told) == [entry.item for entry in world.bench.made("ann")[-1].entries]
        first = told["entries"][0]
        assert first["title"] == world.catalogue.get(first["item"]).title  # type: ignore[union-attr]
        assert first["reason"]["text"]
        assert (told["origin"], told["cold"], told["degraded"]) == ("made", False, None)
        assert told["model_version"]
        assert told["took_ms"] > 0
        assert not world.sent


async def test_list_for_events_follows_what_was_done_with_items() -> None:
    async with api_world() as world:
        whole = await world.post("/v1/recommend", {"likes": ["film-1"]})
        gone = items(whole)[0]
        events = [
            {"kind": "like", "item": "film-1"},
            {"kind": "dismiss", "item": gone},
            {"kind": "rate", "item": "film-2", "value": 5},
            {"kind": "steer", "text": "less horror"},
        ]
        told = await world.post("/v1/recommend", {"events": events, "count": 20})
        assert not {gone, "film-1", "film-2"} & set(items(told))
        assert len(told["entries"]) == 20
        assert [wish["text"] for wish in told["wishes"]] == ["less horror"]


async def test_list_without_a_context_is_that_of_someone_new() -> None:
    async with api_world() as world:
        told = await world.post("/v1/recommend", {})
        assert told["cold"] is True
        assert len(told["entries"]) == 10


async def test_list_for_a_user_is_made_from_their_context_and_stored_nowhere() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1")
        published = len(world.bench.sent)
        told = await world.post("/v1/recommend", {"user": "ann", "count": 5})
        assert items(told) == [entry.item for entry in world.bench.made("ann")[-1].entries][:5]
        assert len(world.bench.sent) == published


async def test_version_that_read_a_user_for_a_request_is_noted_for_receipts() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1")
        noted = world.bench.state.versions
        noted.clear()
        told = await world.post("/v1/recommend", {"user": "ann"})
        assert noted == {"ann": [told["model_version"]]}
        await world.post("/v1/recommend", {"user": "new"})
        await world.post("/v1/recommend", {"likes": ["film-1"]})
        assert set(noted) == {"ann"}


async def test_filter_holds_before_items_are_ranked() -> None:
    async with api_world() as world:
        told = await world.post("/v1/recommend", {"likes": ["film-1"], "filter": {"all_of": ["horror"]}, "count": 8})
        assert set(items(told)) == {f"film-{n}" for n in range(2, 40, 5)}
        asked = {"filter": {"items": ["film-3", "film-4", "film-9", "film-3"]}, "exclude": ["film-9"], "count": 8}
        assert set(items(await world.post("/v1/recommend", asked))) == {"film-3", "film-4"}
        none = await world.post("/v1/recommend", {"filter": {"items": []}})
        assert none["entries"] == []
        assert await world.post("/v1/recommend", {"filter": {"any_of": ["no such thing"]}, "count": 3})
        await world.did("ann", "film-7")
        told = await world.post("/v1/recommend", {"user": "ann", "filter": {"none_of": ["horror", "comedy"]}})
        assert all(int(item.partition("-")[2]) % 5 not in (0, 2) for item in items(told))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user": "ann", "likes": ["film-1"]}, "Send a user, or events and likes"),
        ({"count": 0}, "`int` >= 1"),
        ({"count": 101}, "`int` <= 100"),
        ({"likes": ["x"] * 101}, "length <= 100"),
        ({"exclude": ["x"] * (MAX_NAMED + 1)}, f"length <= {MAX_NAMED}"),
        ({"filter": {"all_of": ["x"] * 9}}, "length <= 8"),
        ({"filter": {"sql": "1=1"}}, "unknown field `sql`"),
        ({"likes": ["film\x00"]}, "a control character"),
        ({"events": [{"kind": "erase"}]}, "Not one of the values"),
        ({"events": [{"kind": "rate", "item": "film-1"}]}, "needs a value from 0 to 5"),
        ({"events": [{"kind": "like"}]}, "needs an item"),
        ([], "Expected `object`"),
    ],
)
async def test_unusable_requests_are_refused_with_the_reason(body: Any, says: str) -> None:
    async with api_world() as world:
        answer = await world.ask("POST", "/v1/recommend", body)
        assert says in (await problem(answer, 422, "invalid"))["detail"]


async def test_list_without_the_model_says_so() -> None:
    scorer = ScriptedScorer()
    async with api_world(scorer) as world:
        scorer.script = Script.DOWN
        told = await world.post("/v1/recommend", {"likes": ["film-1"]})
        assert (told["degraded"], told["model_version"]) == ("unavailable", None)
        assert len(told["entries"]) == 10


async def test_too_many_lists_at_once_are_refused_for_a_moment() -> None:
    async with api_world() as world:
        world.bench.lists.one_off._wanted = MAX_WANTED
        await problem(await world.ask("POST", "/v1/recommend", {}), 503, "busy")
        await problem(await world.ask("POST", "/v1/recommend", {"user": "ann"}), 503, "busy")


async def test_prefixes_of_requests_are_dropped_by_the_model() -> None:
    scorer = ScriptedScorer()
    async with api_world(scorer) as world:
        await world.post("/v1/recommend", {"likes": ["film-1"]})
        await world.bench.until(lambda: bool(scorer.forgotten))
    assert all(number < 0 for number in scorer.forgotten)


# GET /v1/recommendations/{user}


async def test_last_published_list_is_answered() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1", "film-6")
        last = world.bench.made("ann")[-1]
        told = await world.get("/v1/recommendations/ann")
        assert (told["origin"], told["id"], told["trigger"]) == ("published", last.id, last.trigger)
        assert items(told) == [entry.item for entry in last.entries]
        assert items(await world.get("/v1/recommendations/ann", count=3)) == items(told)[:3]
        world.catalogue.withdraw(items(told)[0])
        assert items(await world.get("/v1/recommendations/ann")) == items(told)[1:]


async def test_user_without_a_held_list_gets_one_made_now() -> None:
    async with api_world() as world:
        state = world.bench.state
        event = Event(id="e", user="bob", kind=EventKind.LIKE, ts=world.bench.clock.now_ms(), item="film-1")
        state.contexts["bob"] = fold(state.context("bob"), event, 0, state.marking)
        told = await world.get("/v1/recommendations/bob")
        assert (told["origin"], told["cold"], told["id"]) == ("made", False, None)
        assert "film-1" not in items(told)
        assert not world.bench.made("bob"), "it is not published"


async def test_user_who_did_nothing_gets_the_list_of_someone_new() -> None:
    async with api_world() as world:
        told = await world.get("/v1/recommendations/new%20user")
        assert (told["origin"], told["cold"]) == ("made", True)
        assert len(told["entries"]) == 10


async def test_other_scene_is_made_now() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        told = await world.get("/v1/recommendations/ann", scene="cart")
        assert (told["origin"], told["scene"]) == ("made", "cart")
        assert (await world.get("/v1/recommendations/ann", scene="default"))["origin"] == "published"


async def test_erased_user_has_no_list_any_more() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        assert "page@worker" in world.bench.lists.forget("ann")
        world.bench.state.contexts.clear()
        told = await world.get("/v1/recommendations/ann")
        assert (told["origin"], told["cold"]) == ("made", True)


async def test_lists_of_a_lost_partition_are_dropped() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        world.bench.lists.revoke(0)
        assert world.api.latest.of("ann") is None


async def test_users_are_refused_while_their_state_is_not_known() -> None:
    async with api_world() as world:
        world.lane.state = None
        found = await problem(await world.ask("GET", "/v1/recommendations/ann"), 503, "starting")
        assert "reads its state" in found["detail"]
        world.partitions = None
        await problem(await world.ask("POST", "/v1/recommend", {"user": "ann"}), 503, "starting")
        assert await world.post("/v1/recommend", {"likes": ["film-1"]}), "a context in the request needs no state"
        world.api.lists = None
        await problem(await world.ask("POST", "/v1/recommend", {}), 503, "starting")


async def test_held_lists_are_bounded() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        (made,) = world.bench.made("ann")
        latest = world.api.latest
        latest._most = 2
        for user in ("a", "b"):
            latest.published(replace(made, user=user), None)
        assert (len(latest), latest.of("ann")) == (2, None)
