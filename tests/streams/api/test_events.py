"""Events over HTTP: what is sent to Kafka, and what is refused before it is."""

from typing import Any

import msgspec
import pytest
from aiokafka.errors import NodeNotReadyError, TopicAuthorizationFailedError

from schemas.events import Event, EventKind
from schemas.http.events import MAX_EVENTS, MAX_EVENTS_BYTES, NewEvent
from streams.clock import SYSTEM
from tests.support.api import api_world, problem

LIKE = {"user": "ann", "kind": "like", "item": "film-1"}


def test_new_event_has_the_fields_of_an_event() -> None:
    sent, read = (
        {each.name: each.type for each in msgspec.structs.fields(kind) if each.name not in ("id", "ts")}
        for kind in (NewEvent, Event)
    )
    assert sent == read


async def test_event_is_on_kafka_once_it_is_answered() -> None:
    async with api_world() as world:
        before = SYSTEM.now_ms()
        answer = await world.ask("POST", "/v1/events", {**LIKE, "id": "e1", "ts": before - 5, "scene": "home"})
        assert (answer.status, await answer.json()) == (202, {"ids": ["e1"]})
        (event,) = world.events()
        assert event == Event(id="e1", user="ann", kind=EventKind.LIKE, item="film-1", ts=before - 5, scene="home")
        assert world.bench.count("ouzel_api_events_total") == 1
        assert world.bench.count("ouzel_api_requests_total", operation="sendEvents", status="202") == 1


async def test_event_without_id_and_time_gets_them() -> None:
    async with api_world() as world:
        before = SYSTEM.now_ms()
        told = await world.post("/v1/events", [LIKE, {**LIKE, "id": None, "ts": None}])
        events = world.events()
        assert [event.id for event in events] == told["ids"]
        assert len(set(told["ids"])) == 2
        assert all(before <= event.ts <= SYSTEM.now_ms() for event in events)


async def test_events_are_sent_all_or_none() -> None:
    async with api_world() as world:
        answer = await world.ask("POST", "/v1/events", [LIKE, {**LIKE, "kind": "adore"}, {**LIKE, "item": None}])
        found = await problem(answer, 422, "invalid")
        assert [one["index"] for one in found["wrong"]] == [1, 2]
        assert "Not one of view, click" in found["wrong"][0]["detail"]
        assert found["detail"].startswith("2 of 3 events cannot be used, so none was sent.")
        assert not world.sent


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], f"1 to {MAX_EVENTS} events"),
        ([LIKE] * (MAX_EVENTS + 1), f"1 to {MAX_EVENTS} events"),
        ({"item": "i"}, "missing required field `user`"),
        ({"userId": "ann", "kind": "like", "item": "i"}, 'did you mean "user"?'),
        ({**LIKE, "ts": 1_700_000_000}, "looks like seconds; send milliseconds"),
        ({**LIKE, "ts": 9_700_000_000_000}, "in the future"),
        ({**LIKE, "user": 7}, "send it in quotes"),
        ({**LIKE, "user": "a\u0000b"}, "a control character"),
        ({**LIKE, "kind": "steer"}, "needs a sentence"),
        ({**LIKE, "item": "x" * 129}, "length <= 128"),
        ("text", "send a JSON object"),
        (7, "send a JSON object"),
        ([None], "found the word null"),
        ([[LIKE]], "found a JSON array"),
    ],
)
async def test_unusable_events_are_refused_with_the_reason(body: Any, says: str) -> None:
    async with api_world() as world:
        answer = await world.client.post("/v1/events", json=body)
        assert says in (await problem(answer, 422, "invalid"))["detail"]
        assert not world.sent


@pytest.mark.parametrize(
    ("data", "content_type", "status", "kind"),
    [
        (b"{", "application/json", 422, "invalid"),
        (b"\xff", "application/json", 422, "invalid"),
        (b"[" * 100_000, "application/json", 422, "invalid"),
        (b"{}", "text/plain", 415, "json-needed"),
        (b"x" * (MAX_EVENTS_BYTES + 1), "application/json", 413, "body-too-large"),
    ],
)
async def test_bodies_that_are_no_json_or_too_large_are_refused(
    data: bytes, content_type: str, status: int, kind: str
) -> None:
    async with api_world() as world:
        answer = await world.client.post("/v1/events", data=data, headers={"Content-Type": content_type})
        await problem(answer, status, kind)


async def test_body_in_chunks_is_bounded_too() -> None:
    async def parts() -> Any:
        for _ in range(70):
            yield b" " * 4_096

    async with api_world() as world:
        answer = await world.client.post("/v1/events", data=parts(), headers={"Content-Type": "application/json"})
        await problem(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (NodeNotReadyError(), "in a few seconds"),
        (TimeoutError(), "in a few seconds"),
        (TopicAuthorizationFailedError(), "may not write ouzel.events"),
    ],
)
async def test_events_that_kafka_does_not_take_are_no_success(failure: Exception, says: str) -> None:
    async with api_world() as world:
        world.failure = failure
        found = await problem(await world.ask("POST", "/v1/events", LIKE), 503, "not-sent")
        assert says in found["detail"]
        assert world.bench.count("ouzel_api_events_total") == 0
