"""The description of the API: complete, consistent, and what a worker serves."""

import json
import re
from typing import Any

import msgspec

from inference.scorers.scripted import ScriptedScorer
from streams.api.openapi import as_json, openapi
from streams.api.operations import OPERATIONS
from streams.api.problems import Kind
from tests.support.api import api_world

METHODS = {"get", "put", "post", "delete"}


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*map(references, part.values())) if part else own
    return set().union(*map(references, part)) if isinstance(part, list) and part else set()


def test_description_has_every_operation_with_its_parameters() -> None:
    described = openapi()
    found = {
        one["operationId"]: (method, path, one)
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    }
    assert set(found) == {operation.name for operation in OPERATIONS}
    for method, path, one in found.values():
        assert method in METHODS
        named = {each["name"] for each in one.get("parameters", ()) if each["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))
        assert one["summary"]
        assert {"401", "422", "429", "500"} <= set(one["responses"])


def test_description_refers_to_what_it_has() -> None:
    described = openapi()
    for reference in references(described):
        part: Any = described
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    names = {reference.rpartition("/")[2] for reference in references(described)}
    assert set(described["components"]["schemas"]) <= names, "a schema that no operation uses"


def test_kinds_of_problems_have_different_names() -> None:
    assert len({kind.type for kind in Kind}) == len(Kind)


async def test_worker_serves_the_description() -> None:
    async with api_world() as world:
        assert await world.get("/v1/openapi.json") == json.loads(as_json())


async def test_answers_have_the_fields_and_bounds_of_the_description() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1", "film-6")
        made = world.bench.made("ann")[-1]
        path: dict[str, Any] = {"user": "ann", "id": "film-1", "list": made.id, "item": made.entries[0].item}
        queries: dict[str, dict[str, Any]] = {"search": {"q": "horror", "user": "ann"}, "explain": {"user": "ann"}}
        bodies: dict[str, Any] = {
            "sendEvents": [{"user": "ann", "kind": "view", "item": "film-2"}],
            "recommend": {"likes": ["film-1"], "events": [{"kind": "steer", "text": "less horror"}]},
            "putItem": {"title": "Another"},
            "steer": {"user": "ann", "text": "less horror"},
        }
        for each in OPERATIONS:
            if each.answer is None or each.media != "application/json":
                continue
            query, body = queries.get(each.name, {}), bodies.get(each.name)
            answer = await world.ask(each.method, each.route.format(**path), body, **query)
            assert answer.status == each.status, await answer.text()
            found = msgspec.json.decode(await answer.read(), type=each.answer)
            assert set(await answer.json()) <= set(found.__struct_fields__)
