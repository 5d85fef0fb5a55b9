"""Items over HTTP: the catalogue, changes of it, and search by pages."""

from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import decode_item
from schemas.http.items import MAX_QUERY as MOST_OF_A_QUERY
from schemas.http.items import MAX_RANKED as MOST_RANKED
from schemas.http.items import ItemBody
from schemas.items import Item
from schemas.topics import ITEMS
from streams.items.search import MAX_QUERY
from streams.serving.searching import BURST_SECONDS, MAX_RANKED
from tests.support.api import api_world, problem

BODY = {"title": "Fargo", "attributes": ["crime"], "text": "Snow.\nMuch of it.", "published": -1, "image": [0.5, 1]}


def test_bounds_are_those_of_items_and_of_search() -> None:
    assert {*ItemBody.__struct_fields__, "id"} == set(Item.__struct_fields__)
    assert (MOST_OF_A_QUERY, MOST_RANKED) == (MAX_QUERY, MAX_RANKED)


async def test_item_is_read_from_the_catalogue() -> None:
    async with api_world() as world:
        world.catalogue.add(Item(id="a/b", title="<b>Bold</b>", text="t"))
        answer = await world.ask("GET", "/v1/items/a%2Fb")
        assert await answer.json() == {"id": "a/b", "title": "<b>Bold</b>", "text": "t"}
        assert b"<" not in await answer.read()
        await problem(await world.ask("GET", "/v1/items/unknown"), 404, "not-found")
        world.is_read = False
        await problem(await world.ask("GET", "/v1/items/unknown"), 503, "starting")


async def test_item_is_published_and_withdrawn_on_kafka() -> None:
    async with api_world() as world:
        answer = await world.ask("PUT", "/v1/items/fargo%201", BODY)
        assert (answer.status, await answer.json()) == (202, {"id": "fargo 1"})
        answer = await world.ask("DELETE", "/v1/items/fargo%201")
        assert (answer.status, await answer.json()) == (202, {"id": "fargo 1"})
        put, deleted = world.sent
        assert (put.topic, put.key, deleted) == (ITEMS.name, b"fargo 1", (ITEMS.name, b"fargo 1", None))
        assert decode_item(put.value, key=put.key) == Item(
            id="fargo 1",
            title="Fargo",
            attributes=("crime",),
            text="Snow.\nMuch of it.",
            published=-1,
            image=(0.5, 1.0),
        )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "missing required field `title`"),
        ({**BODY, "id": "other"}, "unknown field `id`"),
        ({**BODY, "title": "x" * 301}, "length <= 300"),
        ({**BODY, "title": "a\u0007"}, "control character"),
        ({**BODY, "published": 1_700_000_000}, "looks like seconds"),
        ({**BODY, "image": [1e39]}, "1e30"),
    ],
)
async def test_unusable_items_are_refused_with_the_reason(body: Any, says: str) -> None:
    async with api_world() as world:
        found = await problem(await world.ask("PUT", "/v1/items/fargo", body), 422, "invalid")
        assert says.replace("1e30", "") in found["detail"]
        assert not world.sent


async def test_item_that_its_topic_does_not_take_is_no_success() -> None:
    async with api_world() as world:
        world.failure = MessageSizeTooLargeError()
        found = await problem(await world.ask("PUT", "/v1/items/fargo", BODY), 503, "not-sent")
        assert "max.message.bytes" in found["detail"]


async def test_search_is_in_the_order_of_the_user_by_pages() -> None:
    async with api_world() as world:
        await world.did("ann", "film-2", "film-7")
        first = await world.get("/v1/search", q="horror", user="ann", limit=3)
        assert (first["matched"], first["ranked"], first["whole"], first["next"]) == (8, 8, True, 3)
        rest = [await world.get("/v1/search", q="horror", user="ann", limit=3, offset=at) for at in (3, 6)]
        assert (rest[0]["next"], rest[1]["next"]) == (6, None)
        results = [each for page in (first, *rest) for each in page["results"]]
        assert {each["item"] for each in results} == {f"film-{n}" for n in range(2, 40, 5)}
        assert {each["item"] for each in results if each["seen"]} == {"film-2", "film-7"}
        assert all(each["in_title"] and each["attributes"] == ["horror"] for each in results)
        scores = [each["score"] for each in results]
        assert scores == sorted(scores, reverse=True)
        assert (await world.get("/v1/search", q="horror", offset=400))["results"] == []


async def test_search_without_a_user_is_that_of_someone_new() -> None:
    async with api_world() as world:
        found = await world.get("/v1/search", q="HORR")
        assert (len(found["results"]), found["next"]) == (8, None)
        assert not any(each["seen"] for each in found["results"])
        assert (await world.get("/v1/search", q="nothing"))["results"] == []
        world.is_read = False
        assert (await world.get("/v1/search", q="horror"))["whole"] is False


@pytest.mark.parametrize("query", ["", "q=", "q=" + "x" * 81, "q=a&limit=0", "q=a&limit=101", "q=a&offset=500"])
async def test_unusable_searches_are_refused(query: str) -> None:
    async with api_world() as world:
        await problem(await world.client.get(f"/v1/search?{query}"), 422, "invalid")


async def test_searches_may_not_take_the_worker_over() -> None:
    async with api_world() as world:
        search = world.search
        search._spent, search._spent_at = BURST_SECONDS + 1, world.seconds
        await problem(await world.ask("GET", "/v1/search", q="horror"), 429, "too-many-requests")
        world.seconds += 10
        assert await world.get("/v1/search", q="horror")
        world.api.lists = None
        await problem(await world.ask("GET", "/v1/search", q="horror"), 503, "starting")
