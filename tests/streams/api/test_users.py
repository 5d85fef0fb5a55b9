"""Users over HTTP: wishes, explanations, what is stored, streams and erasures."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiokafka.errors import NodeNotReadyError

from inference.scorers.scripted import ScriptedScorer
from schemas.codec import decode_order
from schemas.events import Event, EventKind
from schemas.http import users as bounds
from schemas.topics import PRIVACY
from streams.api.explanations import languages
from streams.fold import attribution, context
from streams.fold.context import EMPTY, digest, fold
from streams.privacy.erasure import MAX_VERSIONS
from streams.secret import Secret
from tests.support.api import ApiWorld, api_world, message, problem
from tests.support.patience import PATIENCE


def test_bounds_are_those_of_the_state() -> None:
    assert (bounds.MAX_SCENES, bounds.MAX_DONE_IN_SCENE) == (context.MAX_SCENES, context.MAX_RECENT)
    assert (bounds.MAX_OPEN, bounds.MAX_ITEMS) == (attribution.MAX_OPEN, attribution.MAX_SHOWN)
    assert bounds.MAX_VERSIONS == MAX_VERSIONS


# Wishes


async def test_wish_is_an_event_and_can_be_undone() -> None:
    async with api_world() as world:
        answer = await world.ask("POST", "/v1/steer", {"user": "ann", "text": "less horror this week"})
        assert answer.status == 202
        wish = (await answer.json())["id"]
        undone = await world.post("/v1/steer", {"user": "ann", "undo": wish})
        said, forgot = world.events()
        assert (said.id, said.kind, said.text) == (wish, EventKind.STEER, "less horror this week")
        assert (forgot.id, forgot.kind, forgot.target) == (undone["id"], EventKind.FORGET, wish)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user": "ann"}, "either a text"),
        ({"user": "ann", "text": "a", "undo": "b"}, "either a text"),
        ({"user": "ann", "text": "x" * 281}, "length <= 280"),
        ({"user": "ann", "text": "a\u0000"}, "control character"),
        ({"text": "a"}, "missing required field `user`"),
    ],
)
async def test_unusable_wishes_are_refused(body: Any, says: str) -> None:
    async with api_world() as world:
        assert says in (await problem(await world.ask("POST", "/v1/steer", body), 422, "invalid"))["detail"]
        assert not world.sent


# Explanations


async def explained(world: ApiWorld, entry: str = "", made: str = "", **headers: str) -> ClientResponse:
    last = world.bench.made("ann")[-1]
    path = f"/v1/explanations/{made or last.id}/{entry or last.entries[0].item}"
    return await world.ask("GET", path, headers=headers, user="ann")


async def test_explanation_names_the_events_that_count_in_the_readers_language() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1", "film-6")
        answer = await explained(world)
        assert answer.status == 200, await answer.text()
        found = await answer.json()
        assert (found["language"], found["events"]) == ("en", 2)
        assert {cause["item"] for cause in found["causes"]} <= {"film-1", "film-6"}
        assert found["place"] >= 1
        assert found["model_version"]
        chinese = await (await explained(world, **{"Accept-Language": "fr;q=0.9, zh-CN, en;q=0.1"})).json()
        assert chinese["language"].startswith("zh")
        assert chinese["sentence"] != found["sentence"]


async def test_explanation_is_of_an_entry_of_the_last_list() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1")
        await problem(await explained(world, made="another"), 404, "not-found")
        await problem(await explained(world, entry="film-1"), 404, "not-found")
        state = world.bench.state
        event = Event(id="later", user="ann", kind=EventKind.LIKE, ts=world.bench.clock.now_ms(), item="film-3")
        state.contexts["ann"] = fold(state.context("ann"), event, 99, state.marking)
        await problem(await explained(world), 409, "changed")
        world.api.explaining = None
        await problem(await explained(world), 503, "starting")


async def test_explanations_are_bounded() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1")
        world.seconds += 10
        path = (
            f"/v1/explanations/{world.bench.made('ann')[-1].id}/{world.bench.made('ann')[-1].entries[0].item}?user=ann"
        )
        told = [(await world.client.get(path)).status for _ in range(12)]
        assert told == [200] * 10 + [429] * 2


def test_languages_are_read_in_the_order_of_their_weights() -> None:
    assert languages("fr;q=0.2, zh-CN ,en;q=0.9,*;q=0.5,de;q=x,it;q=0") == ["zh-CN", "en", "fr"]
    assert languages("") == []


# What is stored


async def test_context_has_what_the_user_did() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1", "film-6")
        state = world.bench.state
        wish = Event(id="wish", user="ann", kind=EventKind.STEER, ts=7, text="less horror")
        state.contexts["ann"] = fold(state.context("ann"), wish, 99, state.marking)
        told = await world.get("/v1/users/ann/context")
        scene = told["scenes"]["default"]
        assert [done["item"] for done in scene["recent"]] == ["film-1", "film-6"]
        assert scene["likes"] == scene["recent"]
        assert scene["recent"][0]["event"] == f"{digest('e0'):016x}"
        assert (scene["liked"], scene["met"], told["seen"]) == (2, 2, 2)
        assert [steer["text"] for steer in told["steers"]] == ["less horror"]
        await problem(await world.ask("GET", "/v1/users/bob/context"), 404, "not-found")


async def test_export_has_everything_that_is_stored() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1")
        made = world.bench.made("ann")[-1]
        told = await world.get("/v1/users/ann/export")
        assert told["context"] == await world.get("/v1/users/ann/context")
        assert [each["id"] for each in told["open_lists"]] == [made.id]
        assert told["open_lists"][0]["items"] == [entry.item for entry in made.entries]
        assert told["model_versions"] == [made.model_version]
        assert told["last_list"]["id"] == made.id
        assert told["stored_as"] == "ann"
        assert {"ouzel.events", "ouzel.privacy-receipts"} <= set(told["elsewhere"])
        await problem(await world.ask("GET", "/v1/users/bob/export"), 404, "not-found")


async def test_state_of_a_user_is_read_under_the_pseudonym() -> None:
    async with api_world(pseudonym_key=Secret("0" * 32)) as world:
        alias = world.api._ownership.alias("ann")
        assert alias != "ann"
        event = Event(id="e", user="ann", kind=EventKind.LIKE, ts=1, item="film-1")
        world.bench.state.contexts[alias] = fold(EMPTY, event, 0, world.bench.state.marking)
        told = await world.get("/v1/users/ann/export")
        assert (told["user"], told["stored_as"]) == ("ann", alias)
        assert told["context"]["scenes"]["default"]["met"] == 1


async def test_erasure_is_ordered_on_kafka() -> None:
    async with api_world() as world:
        answer = await world.ask("DELETE", "/v1/users/ann%20b")
        assert answer.status == 202
        (out,) = world.sent
        order = decode_order(out.value, key=out.key)
        assert (out.topic, order.user, order.id) == (PRIVACY.name, "ann b", (await answer.json())["order"])
        world.failure = NodeNotReadyError()
        found = await problem(await world.ask("DELETE", "/v1/users/ann"), 503, "not-sent")
        assert "harmless" in found["detail"]


# Streams


async def test_stream_has_the_last_list_and_each_that_follows() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        stream = await world.ask("GET", "/v1/users/ann/stream")
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert (await message(stream))["id"] == world.bench.made("ann")[-1].id
        await world.did("bob", "film-3")
        await world.did("ann", "film-6")
        told = await message(stream)
        assert (told["id"], told["origin"]) == (world.bench.made("ann")[-1].id, "published")
        assert world.bench.count("ouzel_api_streams") == 1
        stream.close()


async def test_stream_without_a_list_has_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.api.users.COMMENT_SECONDS", 0.05)
    async with api_world() as world:
        stream = await world.ask("GET", "/v1/users/ann/stream")
        async with asyncio.timeout(PATIENCE):
            assert await stream.content.readline() == b":\n"
        stream.close()
        await world.bench.until(lambda: world.bench.count("ouzel_api_streams") == 0)


async def test_stream_ends_where_the_partition_moves_away() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        stream = await world.ask("GET", "/v1/users/ann/stream")
        await message(stream)
        partition = world.api._ownership._own_users.partition("ann")
        assert partition is not None
        world.bench.lists.revoke((partition + 1) % 8)
        await world.did("ann", "film-6") if partition + 1 == 8 else None
        assert not stream.content.at_eof()
        world.bench.lists.revoke(partition)
        async with asyncio.timeout(PATIENCE):
            await stream.content.read()
        assert stream.content.at_eof()


async def test_streams_are_bounded() -> None:
    async with api_world(web_max_connections=8) as world:
        open_ = [await world.ask("GET", f"/v1/users/{user}/stream") for user in ("a", "b")]
        assert [stream.status for stream in open_] == [200, 200]
        await problem(await world.ask("GET", "/v1/users/c/stream"), 503, "busy")
        assert world.refusals == ["streams"]
        for stream in open_:
            stream.close()


async def test_slow_reader_loses_the_oldest_lists() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        stream = world.api.latest.open("ann")
        made = world.bench.made("ann")[-1]
        for _ in range(40):
            world.api.latest.published(made, None)
        assert world.bench.count("ouzel_api_dropped_messages_total") > 0
        world.api.latest.close(stream)
