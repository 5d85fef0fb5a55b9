"""The OpenAPI 3.1 description of the API, made from the table of operations and the structs. Pure."""

from typing import Any

import msgspec

from schemas.http.problems import Problem
from streams.api.operations import OPERATIONS, Operation
from streams.api.problems import Kind

REF = "#/components/schemas/{name}"
DESCRIPTION = (
    "The HTTP API of an Ouzel worker. Send requests about a user to any worker: it asks the one that has the user. "
    "Refusals are problems as in RFC 9457; with status 429 or 503, try again after Retry-After seconds."
)


def openapi() -> dict[str, Any]:
    """The description, as plain data."""
    types: list[Any] = [Problem]
    for each in OPERATIONS:
        types += [kind for kind in (each.path, each.query, each.body, each.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    found = dict(zip(map(_key, types), schemas, strict=True))
    parameters = {each.__name__ for one in OPERATIONS for each in (one.path, one.query) if each is not None}
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.route, {})[each.method.lower()] = _operation(each, found, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ouzel", "version": "1", "description": DESCRIPTION},
        "paths": paths,
        "security": [{"token": []}, {}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: each for name, each in components.items() if name not in parameters},
            "responses": {kind.name: _problem(kind) for kind in Kind},
        },
    }


def as_json() -> bytes:
    return msgspec.json.format(msgspec.json.encode(openapi()), indent=2) + b"\n"


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(each: Operation, found: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": each.name, "summary": each.summary}
    parameters = [
        {"name": name, "in": place, "required": place == "path" or name in schema.get("required", ()), "schema": one}
        for place, kind in (("path", each.path), ("query", each.query))
        if kind is not None
        for schema in (components[kind.__name__],)
        for name, one in schema["properties"].items()
    ]
    if parameters:
        made["parameters"] = parameters
    if each.body is not None:
        made["requestBody"] = {
            "required": True,
            "description": f"At most {each.most:,} bytes.",
            "content": {"application/json": {"schema": found[_key(each.body)]}},
        }
    schema = {"type": "object"} if each.answer is None else found[_key(each.answer)]
    content = {each.media: {"schema": schema}}
    by_status: dict[str, list[Kind]] = {}
    for kind in each.kinds:
        by_status.setdefault(str(kind.status), []).append(kind)
    made["responses"] = {
        str(each.status): {"description": "Done.", "content": content},
        **{status: _refused(kinds) for status, kinds in sorted(by_status.items())},
    }
    return made


def _refused(kinds: list[Kind]) -> dict[str, Any]:
    if len(kinds) == 1:
        return {"$ref": f"#/components/responses/{kinds[0].name}"}
    return _response("; ".join(f"{kind.title} ({kind.type})" for kind in kinds), kinds[0].status)


def _problem(kind: Kind) -> dict[str, Any]:
    return _response(f"{kind.title} ({kind.type})", kind.status)


def _response(description: str, status: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return made
