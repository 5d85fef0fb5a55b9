"""The guard of the worker's pages: token, host name, size and rate of requests.

An authorized client is never refused because of others: probes and scrapes are not rate-limited. They cost little,
since `streams.web.rate.Renewed` bounds how often a page is rendered. Refusals are bounded per address, and connections
by `streams.web.visitors`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from faust.types import AppT
from faust.web.drivers import aiohttp as driver

from streams.clock import Clock
from streams.secret import Secret
from streams.settings import Web, variable
from streams.web.loopback import is_loopback, name_in, neighbourhood
from streams.web.rate import Buckets
from streams.web.visitors import IDLE_SECONDS, MAX_HEADER_BYTES, MAX_LINE_BYTES, Site, Visitor, Visitors

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_024
"""A larger body is refused outside the areas that read one."""

MAX_ADDRESSES = 1_024
"""Addresses whose refusals are counted at the same time; 300 bytes each."""

OPEN_PAGES = ("/healthz", "/readyz")
"""Pages for probes, open without a token: "ok", or what the worker is waiting for."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "ouzel",
}
"""On every answer: browsers do not guess its type, store, frame or embed it. `Server` replaces aiohttp's, which states
its version and Python's."""

OWN = ("Content-Security-Policy",)
"""Of these, those that a page sets itself."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refused = Callable[[str], None]
"""Called with why a request was refused, one of `streams.metrics.REFUSALS`."""


class Refusal(NamedTuple):
    why: str
    status: int
    text: str
    headers: dict[str, str] | None = None


def in_text(refusal: Refusal) -> web.Response:
    return web.Response(status=refusal.status, text=refusal.text, headers=refusal.headers)


def _first_of_none(_request: web.Request) -> None:
    """Nothing is answered before the checks."""


class Area(NamedTuple):
    """The paths that begin with `prefix`.

    `max_body` is the largest body of a path, in bytes, where its length is stated: who reads one bounds it
    (`streams.web.bodies`). `say` words a refusal. `first` answers what needs no token; None for other requests.
    """

    prefix: str
    max_body: Callable[[str], int]
    say: Callable[[Refusal], web.Response] = in_text
    first: Callable[[web.Request], web.Response | None] = _first_of_none


ELSEWHERE = Area("", lambda _path: MAX_BODY_BYTES)

BODY = Refusal("body", 413, "the body is larger than any page takes\n")
TOKEN = Refusal("token", 401, "a bearer token is needed\n", {"WWW-Authenticate": "Bearer"})
HOST = Refusal(
    "host",
    421,
    "without a token these pages answer to this machine only: use localhost or 127.0.0.1, or set "
    f"{variable('web_token')} to allow any host name\n",
)
FAILED = Refusal("", 500, "the page failed; the worker's log names the error\n")
RATE = Refusal("rate", 429, "too many requests that were refused\n", {"Retry-After": "1"})


def allowed(header: str | None, token: Secret) -> bool:
    """Whether an Authorization header carries the bearer token; always true if no token is set."""
    if not token:
        return True
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and token.matches(given.strip())


def misdirected(hosts: list[str]) -> bool:
    """Whether a Host header names another machine. Browsers always send one."""
    return not all(is_loopback(name_in(host)) for host in hosts)


def guard(settings: Web, clock: Clock, refused: Refused, areas: Sequence[Area] = ()) -> Any:
    """The middleware: checks host name, token and body, and limits the refusals per address."""
    token = settings.token
    refusals = Buckets(settings.max_per_second, MAX_ADDRESSES)

    def area_of(path: str) -> Area:
        return next((area for area in areas if path.startswith(area.prefix)), ELSEWHERE)

    def objection(request: web.Request, area: Area, authorized: bool) -> Refusal | None:
        if not authorized and request.path not in OPEN_PAGES:
            return TOKEN
        if request.content_length is not None and request.content_length > area.max_body(request.path):
            return BODY
        return None

    async def answer(request: web.Request, handler: Handler, authorized: bool) -> web.StreamResponse:
        area = area_of(request.path)
        # Another site's name can resolve to this machine (DNS rebinding). A browser that reaches loopback then asks
        # under that name; it cannot send a token.
        if not token and misdirected(request.headers.getall("Host", [])):
            found: Refusal | None = HOST
        elif (said := area.first(request)) is not None:
            return said
        else:
            found = objection(request, area, authorized)
        if found is not None:
            if not refusals.take(neighbourhood(request.remote or ""), clock.monotonic()):
                found = RATE
            refused(found.why)
            return area.say(found)
        try:
            return await handler(request)
        except web.HTTPException as error:
            allow = {name: value for name, value in error.headers.items() if name == "Allow"}
            return area.say(Refusal("", error.status, f"{error.reason}\n", allow))
        except Exception as error:
            log.error("A page failed: %s", type(error).__name__)
            return area.say(FAILED)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        authorized = allowed(request.headers.get("Authorization"), token)
        connection = request.protocol
        if not isinstance(connection, Visitor):
            return await answer(request, handler, authorized)
        with connection.answering(proven=authorized and bool(token)):
            said = await answer(request, handler, authorized)
            # Here rather than by the server, so that the connection counts as busy until the page is written.
            await said.prepare(request)
            await said.write_eof()
        return said

    return check


def harden(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add `HEADERS` to an answer before it is sent."""
    own = [name for name in OWN if name in response.headers]
    response.headers.update({name: value for name, value in HEADERS.items() if name not in own})


async def _prepared(request: web.Request, response: web.StreamResponse) -> None:
    harden(request, response)


class Guard:
    """An application behind the guard, and its site; `refused` is called with the reason of each refusal."""

    def __init__(self, settings: Web, clock: Clock, refused: Refused, areas: Sequence[Area] = ()) -> None:
        self._settings = settings
        self._visitors = Visitors(settings.max_connections, clock.monotonic, lambda: refused("connections"))
        self._refused = refused
        self.application = web.Application(
            middlewares=[guard(settings, clock, refused, areas)], client_max_size=MAX_BODY_BYTES
        )
        self.application.on_response_prepare.append(_prepared)
        self.runner = web.AppRunner(self.application, access_log=None)

    def site(self) -> web.BaseSite:
        """The listening site, once the runner is set up."""
        settings = self._settings
        return Site(self.runner, settings.host, settings.port, self._visitor, settings.max_connections)

    def _visitor(self, server: web.Server) -> Visitor:
        return Visitor(
            server,
            self._visitors,
            harden=harden,
            unreadable=lambda: self._refused("unreadable"),
            loop=asyncio.get_running_loop(),
            access_log=None,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            keepalive_timeout=IDLE_SECONDS,
        )


class GuardedWeb(driver.Web):
    """Faust's web server behind the guard, without Faust's own pages."""

    default_blueprints = production_blueprints = debug_blueprints = optional_blueprints = ()

    def __init__(self, app: AppT, guard: Guard, **options: Any) -> None:
        super().__init__(app, **options)
        self.web_app = guard.application
        self._runner = guard.runner
        self._site = guard.site

    def _new_transport_tcp(self) -> web.BaseSite:
        return self._site()
