"""Sending a request on to the worker that has the user, and its answer back.

Workers know each other's addresses from the group: each tells Faust's assignor its own, and each assignment comes with
those of all members and their partitions. An address ends in `API` if its worker serves the API. A request is sent on
once: a worker that gets one which was sent on, and does not have the user either, refuses it.
"""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp import web
from yarl import URL

from schemas.topics import EVENTS
from streams.api.problems import Kind, Problem
from streams.api.requests import BODY
from streams.kafka.faust_settings import API
from streams.secret import Secret
from streams.settings import variable
from streams.web.event_streams import WRITE_SECONDS

FORWARDED = "Ouzel-Forwarded"
"""A header of requests that were sent on."""

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 15.0
"""Maximum time of an answer, and of silence in a stream."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
ACCEPTED = frozenset({"application/json", "application/problem+json", "text/event-stream"})

Addresses = Mapping[str, Mapping[str, list[int]]]
"""The partitions of each topic by the address of their worker, as Faust's assignor has them."""


def owner_of(partition: int, topic: str, addresses: Addresses) -> str | None:
    """The address of the worker that has a partition; None if no worker is known to."""
    return next((address for address, has in addresses.items() if partition in has.get(topic, ())), None)


class Forwarding:
    """`addresses` returns those of the group's workers, `own` is that of this one; `topic` is that of the events."""

    def __init__(self, *, addresses: Callable[[], Addresses], own: str, topic: str, token: Secret) -> None:
        self._addresses = addresses
        self._own = own
        self._topic = topic
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def close(self, _application: web.Application | None = None) -> None:
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.Request, partition: int) -> web.StreamResponse:
        """The answer of the worker that has a partition. Raises `Problem` if it cannot be had."""
        address = owner_of(partition, self._topic, self._addresses())
        if address is None or address == self._own or FORWARDED in request.headers:
            raise _moving(partition)
        if not address.endswith(API):
            raise Problem(
                Kind.OWNER,
                f"The worker that has partition {partition} of {EVENTS.name}, the user's, does not serve the API at an "
                f"address that it names: set {variable('web_api')}=on and {variable('web_url')} on every worker.",
            )
        try:
            return await self._exchange(request, URL(address.removesuffix(API)), partition)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Problem(
                Kind.OWNER,
                f"The worker that has partition {partition} of {EVENTS.name}, the user's, does not answer. Try again "
                f"in a few seconds; if it stays, check {variable('web_url')} of that worker.",
            ) from None

    async def _exchange(self, request: web.Request, address: URL, partition: int) -> web.StreamResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS),
                # No idle connections: they would count against those that the other worker allows.
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        headers = {name: request.headers[name] for name in ("Accept", "Accept-Language") if name in request.headers}
        headers[FORWARDED] = "1"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        body = request.get(BODY)
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = address.join(request.rel_url)
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            if answer.content_type not in ACCEPTED or answer.status == 401:
                raise Problem(
                    Kind.OWNER,
                    f"The worker that has partition {partition} of {EVENTS.name}, the user's, does not take requests "
                    f"of this one: give all workers the same {variable('web_token')}, and check {variable('web_url')}.",
                )
            more = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
            if answer.content_type == "text/event-stream":
                return await _passed_on(request, answer)
            async with asyncio.timeout(ANSWER_SECONDS):
                text = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while len(text) <= MAX_ANSWER_BYTES and (part := await answer.content.readany()):
                    text += part
            if len(text) > MAX_ANSWER_BYTES:
                raise aiohttp.ClientPayloadError("an answer that no worker gives")
            return web.Response(body=text, status=answer.status, content_type=answer.content_type, headers=more)


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """A stream, until either side ends it."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    try:
        async for part in answer.content.iter_any():
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(part)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass  # the client connects again, and reaches the worker that has the user then
    return response


def _moving(partition: int) -> Problem:
    return Problem(
        Kind.OWNER,
        f"Partition {partition} of {EVENTS.name}, the user's, moves between workers, or no worker has it. Try again in "
        f"a few seconds; if it stays, check that workers run, and that no two have the same {variable('web_url')}.",
    )
