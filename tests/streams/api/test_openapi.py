"""The description of the API: complete, consistent, and what a worker serves."""

import json
import re
from typing import Any

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
