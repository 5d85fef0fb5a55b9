"""Reading requests: bodies, queries and paths, checked against the structs of `schemas.http`."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from streams.api.problems import Kind, Problem
from streams.web.bodies import body_of

T = TypeVar("T")

BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
"""The body of a request once it is read, for sending it on."""

_QUOTED = re.compile(r"^Invalid enum value .*(?= - at `\$)", re.DOTALL)
MAX_NAME = 40
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)


async def read_body(request: web.Request, most: int) -> bytes:
    """The body of a request. Raises `Problem` if it is not said to be JSON."""
    if request.content_type != "application/json":
        raise Problem(Kind.TYPE, "Send JSON with the header Content-Type: application/json.")
    request[BODY] = await body_of(request, most)
    return request[BODY]


async def read(request: web.Request, kind: type[T], most: int) -> T:
    """The body of a request as a `kind`. Raises `Problem`."""
    try:
        return msgspec.json.decode(await read_body(request, most), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(Kind.INVALID, worded(error)) from None


def of_path(request: web.Request, kind: type[T]) -> T:
    return _converted(request.match_info, kind, "path")


def of_query(request: web.Request, kind: type[T]) -> T:
    if len(request.query) != len(set(request.query)):
        raise Problem(Kind.INVALID, "A parameter of the query is given twice: send each once.")
    return _converted(request.query, kind, "query")


def worded(error: Exception) -> str:
    """What is wrong with a body, without its values. Names of unknown fields are shortened."""
    if isinstance(error, RecursionError):
        return "The JSON is nested too deeply."
    if not isinstance(error, msgspec.ValidationError):
        return "The body is not JSON in UTF-8."
    text = _QUOTED.sub("Not one of the values that this field takes (see /v1/openapi.json)", str(error))
    return _UNKNOWN.sub(lambda found: f"unknown field `{found[1][:MAX_NAME]}`", text)


def _converted(values: Mapping[str, str], kind: type[T], where: str) -> T:
    given: dict[str, Any] = dict(values)
    try:
        found = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(Kind.INVALID, f"{worded(error)} (in the {where})") from None
    if any(_CONTROL.search(value) for value in values.values()):
        raise Problem(Kind.INVALID, f"A control character in the {where}: no id or text has one.")
    return found
