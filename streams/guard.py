"""What stands between the network and the worker's pages: who may ask, how much, how often, over how many connections.

The bounds are small because the pages are for a scraper and a probe. A request over a bound is answered with a status
and costs next to nothing; a connection over the bound takes the place of the oldest, so that whoever holds connections
open and says nothing keeps nobody out for long.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from faust.types import AppT
from faust.web.drivers import aiohttp as driver

from streams.clock import Clock
from streams.settings import Settings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_024
"""No page reads a body; a larger one is refused."""

MAX_LINE_BYTES, MAX_HEADER_BYTES = 4_096, 4_096
"""Of a request's first line, and of one header."""

OPEN_PAGES = ("/healthz", "/readyz")
"""What a probe asks for without a token: it says "ok", or what the worker waits for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Bucket:
    """At most `per_second` requests a second over time, and as many at once. Pure but for what `take` is told."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether there is room for a request at `now` (seconds of a monotonic clock)."""
        self._left = min(self._per_second, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def allowed(header: str | None, token: str) -> bool:
    """Whether an Authorization header carries the bearer token; anybody's does where there is none."""
    if not token:
        return True
    scheme, _, given = (header or "").partition(" ")
    # Compared as bytes and in constant time: neither letters outside ASCII nor the time taken tell anything.
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.encode()
    )


def guard(settings: Settings, clock: Clock) -> Any:
    """The middleware: rate, then body, then token."""
    bucket = Bucket(settings.web_max_per_second)
    token = settings.web_token.reveal()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not bucket.take(clock.monotonic()):
            return _said(429, "too many requests\n", {"Retry-After": "1"})
        if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
            return _said(413, "no page takes a body\n")
        if request.path not in OPEN_PAGES and not allowed(request.headers.get("Authorization"), token):
            return _said(401, "a bearer token is needed\n", {"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return _said(answer.status, f"{answer.reason}\n", {k: v for k, v in answer.headers.items() if k == "Allow"})
        except Exception as error:
            log.error("A page failed: %s", type(error).__name__)
            return _said(500, "the page failed; the worker's log says with what\n")

    return check


def _said(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text, headers=headers)


class GuardedWeb(driver.Web):
    """Faust's web server with the guard, bounded lines and headers, and a bounded number of connections."""

    def __init__(self, app: AppT, *, max_connections: int, **options: Any) -> None:
        super().__init__(app, **options)
        self._max_connections = max_connections
        self._runner = web.AppRunner(
            self.web_app,
            access_log=None,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            keepalive_timeout=15.0,
        )

    def _new_transport_tcp(self) -> web.BaseSite:
        conf = cast(Any, self.app.conf)
        return _BoundedSite(self._runner, conf.web_bind, conf.web_port, most=self._max_connections)


class _BoundedSite(web.TCPSite):
    """A site that drops its oldest connection for one too many."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, most: int) -> None:
        super().__init__(runner, host, port)
        self._most = most

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None, "the runner is set up before its sites start"

        def accept() -> asyncio.BaseProtocol:
            held = server.connections  # the oldest first
            for each in held[: max(0, len(held) - self._most + 1)]:
                if each.transport is not None:
                    each.transport.abort()
            return server()

        self._server = await asyncio.get_running_loop().create_server(accept, self._host, self._port, backlog=64)
