"""Answers in JSON. Titles and other texts are data: what a browser or a terminal could act on is written as a JSON
escape, so the value stays the same."""

import msgspec
from aiohttp import web

from schemas.shown import shown_json

_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def as_bytes(view: object) -> bytes:
    """A value as JSON on one line, without `<`, `>`, `&`, control characters or marks that turn text around."""
    return shown_json(msgspec.json.encode(view).decode()).translate(_MARKUP).encode()


def in_json(view: object, status: int = 200) -> web.Response:
    return web.Response(body=as_bytes(view), status=status, content_type="application/json")
