"""A bounded number of connections to the worker's pages, and which one is closed to make room.

A client that opens idle connections loses its own, not those of others: a connection that is answering a request stays,
and of the rest one of the address with the most connections is closed.

Few connections are accepted per turn of the event loop, so that a client that has sent its request is answered before
as many others as there may be have come after it.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from streams.web.loopback import neighbourhood

ANSWER_SECONDS = 10.0
"""How long a busy connection is spared: as long as Prometheus waits for a scrape."""

IDLE_SECONDS = 15.0
"""Maximum idle time of a connection."""

TURNS = 8
"""Least turns of the event loop in which all connections can be replaced: more than a request takes to be read."""

WAITING = 1_024
"""Maximum connections that the system holds until they are accepted; beyond it, clients retry after a second."""

MAX_LINE_BYTES, MAX_HEADER_BYTES = 4_096, 4_096
"""Maximum size of a request's first line, and of one header."""

Harden = Callable[[web.BaseRequest, web.StreamResponse], None]


@dataclass(slots=True)
class Standing:
    """A connection's address, whether it has shown the token, and since when it is answering."""

    address: str
    proven: bool = False
    busy_since: float | None = None


def to_end(standings: Sequence[Standing], now: float) -> int:
    """Which of these connections, oldest first, to close when there is one too many.

    Idle ones before busy ones, those without the token before those with it; then the oldest of the address with the
    most.
    """

    def rank(each: Standing) -> tuple[bool, bool]:
        return each.busy_since is not None and now - each.busy_since < ANSWER_SECONDS, each.proven

    lowest = min(map(rank, standings))
    among = [number for number, each in enumerate(standings) if rank(each) == lowest]
    of = Counter(standings[number].address for number in among)
    return max(among, key=lambda number: of[standings[number].address])


class Visitors:
    """The open connections, at most `most`; `ended` is called for each one closed to make room."""

    def __init__(self, most: int, monotonic: Callable[[], float], ended: Callable[[], None]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._ended = ended
        self._held: dict[Visitor, Standing] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._held)

    def come(self, visitor: "Visitor", address: str) -> None:
        self._held[visitor] = Standing(neighbourhood(address))
        while len(self._held) > self._most:
            held = list(self._held)
            chosen = held[to_end([self._standing(each) for each in held], self._monotonic())]
            del self._held[chosen]
            chosen.abort()
            self._ended()

    def gone(self, visitor: "Visitor") -> None:
        self._held.pop(visitor, None)

    def begin(self, visitor: "Visitor", proven: bool) -> None:
        if (standing := self._held.get(visitor)) is not None:
            standing.proven, standing.busy_since = proven, self._monotonic()

    def _standing(self, visitor: "Visitor") -> Standing:
        standing = self._held[visitor]
        if not visitor.busy():
            standing.busy_since = None
        return standing


class Visitor(web.RequestHandler):
    """aiohttp's protocol of one connection. It knows when it is busy, and does not quote unreadable requests."""

    def __init__(
        self, server: web.Server, visitors: Visitors, *, harden: Harden, unreadable: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._visitors = visitors
        self._harden = harden
        self._unreadable = unreadable
        self._answering = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername") or ("",)
        self._visitors.come(self, str(peer[0]))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._visitors.gone(self)
        super().connection_lost(exc)

    @contextmanager
    def answering(self, *, proven: bool) -> Iterator[None]:
        """While a request is answered. `proven`: it came with the token."""
        self._visitors.begin(self, proven)
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1

    def busy(self) -> bool:
        """Whether a request is being answered, or its answer still waits to be sent."""
        return self._answering > 0 or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to invalid HTTP or a server error, without aiohttp's text, which quotes the request.

        Raises ConnectionError if an answer has begun: it cannot be withdrawn.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        self._unreadable()
        said = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n")
        said.force_close()
        self._harden(request, said)
        return said


class Site(web.TCPSite):
    """The listening socket of a server with at most `most` connections."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, accept: Callable[[web.Server], Visitor], most: int
    ) -> None:
        super().__init__(runner, host, port)
        self._accept = accept
        self._per_turn = max(1, most // TURNS)

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None, "the runner is set up before its sites start"
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: self._accept(server), self._host, self._port, backlog=self._per_turn
        )
        self._server = listening
        # asyncio takes one number for both how many it accepts per turn and how many the system holds.
        for each in listening.sockets:
            with socket.fromfd(each.fileno(), each.family, each.type) as same:
                same.listen(WAITING)
