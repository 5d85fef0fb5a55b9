"""The requests of the page: checked before they are handled, read, and answered in JSON."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from streams.web.bodies import body_of
from streams.web.guard import Area

T = TypeVar("T")

TOKEN, GUEST = "X-Ouzel-Token", "X-Ouzel-Guest"

MAX_BODY_BYTES = 16 * 1024
"""As many ids as a request may have, with every character escaped."""

AREA = Area("/page/", lambda _path: MAX_BODY_BYTES)

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handle]
"""A method, a path and what answers it."""


class Refused(Exception):
    """A request that is refused with a sentence."""

    def __init__(self, status: int, text: str, why: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.why = why


class Checked:
    """The checks of every request: that the page's own scripts ask, which know the `token`. `refused` is called with
    the reason of a refusal."""

    def __init__(self, token: str, refused: Callable[[str], object]) -> None:
        self.token = token
        self._refused = refused

    def answered(self, handle: Handle) -> Any:
        """The handler, with the checks before it and refusals as JSON."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                return await handle(request)
            except Refused as refused:
                if refused.why is not None:
                    self._refused(refused.why)
                headers = {"Retry-After": "2"} if refused.status in (429, 503) else None
                return in_json({"error": refused.text}, status=refused.status, headers=headers)

        return answer

    def _check(self, request: web.Request) -> None:
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none"):
            raise Refused(403, "Only the page's own scripts may ask for this.", "origin")
        if request.method == "POST":
            origin = urlsplit(request.headers.get("Origin", ""))
            if origin.netloc.lower() != request.headers.get("Host", "").lower() or not origin.netloc:
                raise Refused(403, "Only the page itself may send events.", "origin")
            if request.headers.get(TOKEN) != self.token:
                raise Refused(403, "The page is from before the worker's last start: reload it.", "origin")


def in_json(view: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(view), status=status, content_type="application/json", headers=headers)


async def read(request: web.Request, kind: type[T]) -> T:
    """The body of a request, checked. Raises `Refused`."""
    if request.content_type != "application/json":
        raise Refused(415, "A request has a body of JSON.")
    try:
        return msgspec.json.decode(await body_of(request, MAX_BODY_BYTES), type=kind)
    except msgspec.DecodeError:
        raise Refused(422, "The page sent what the worker does not know: reload it.") from None
