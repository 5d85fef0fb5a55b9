"""`/v1/users/{user}`: what is stored of a user, a stream of their lists, and their erasure."""

from collections.abc import Callable

from aiohttp import web

from schemas.codec import decode_order, encode
from schemas.errors import Refused
from schemas.http.users import Ordered, UserExport, UserPath
from schemas.privacy import ErasureOrder
from schemas.topics import PRIVACY, PRIVACY_RECEIPTS, RECOMMENDATIONS
from streams.api.answers import in_json
from streams.api.latest import Latest
from streams.api.ownership import Ownership
from streams.api.problems import Kind, Problem
from streams.api.requests import of_path
from streams.api.views import context_view, open_lists, published_list
from streams.clock import Clock
from streams.fold.context import EMPTY
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.privacy.erasure import REMAINS
from streams.web.event_streams import HEADERS, TooManyStreams, write_all
from streams.web.sending import NotSent, Publish, send_in_time

COMMENT_SECONDS = 5.0
"""A stream without a list gets a comment this often: clients and other workers know that it lives."""


class Users:
    """`draw` returns random hexadecimal digits of as many bytes; `streams` is called with the number of streams."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        latest: Latest,
        catalogue: Catalogue,
        publish: Publish,
        draw: Callable[[int], str],
        clock: Clock,
        streams: Callable[[int], object],
    ) -> None:
        self._ownership = ownership
        self._latest = latest
        self._catalogue = catalogue
        self._publish = publish
        self._draw = draw
        self._clock = clock
        self._streams = streams

    async def context(self, request: web.Request) -> web.StreamResponse:
        user = of_path(request, UserPath).user
        context = self._ownership.state(user).context(self._ownership.alias(user))
        if context == EMPTY:
            raise _unknown()
        return in_json(context_view(user, context))

    async def export(self, request: web.Request) -> web.StreamResponse:
        user = of_path(request, UserPath).user
        state, alias = self._ownership.state(user), self._ownership.alias(user)
        context, exposure, last = state.context(alias), state.exposure(alias), self._latest.of(user)
        if context == EMPTY and not exposure.lists and last is None:
            raise _unknown()
        return in_json(
            UserExport(
                user=user,
                stored_as=alias,
                context=context_view(user, context),
                open_lists=open_lists(exposure),
                model_versions=state.versions(alias).names,
                last_list=None if last is None else published_list(last, self._catalogue),
                elsewhere=(*REMAINS, PRIVACY_RECEIPTS.name),
            )
        )

    async def erase(self, request: web.Request) -> web.StreamResponse:
        user = of_path(request, UserPath).user
        order = ErasureOrder(id=self._draw(16), user=user, ts=self._clock.now_ms())
        value = encode(order)
        try:
            decode_order(value, key=user.encode())
            await send_in_time(self._publish, [Output(PRIVACY.name, user.encode(), value)])
        except Refused as refused:
            raise Problem(Kind.INVALID, refused.detail) from None
        except NotSent as why:
            raise Problem(Kind.BROKERS, f"{why} Sending the order again is harmless.") from None
        return in_json(Ordered(order=order.id), 202)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        user = of_path(request, UserPath).user
        self._ownership.state(user)
        try:
            stream = self._latest.open(user)
        except TooManyStreams:
            raise Problem(
                Kind.BUSY,
                f"The worker has as many streams open as it takes. Close one, or read {RECOMMENDATIONS.name}.",
                why="streams",
            ) from None
        self._streams(self._latest.streams)
        response = web.StreamResponse(headers=HEADERS)
        try:
            await write_all(request, response, stream, every=COMMENT_SECONDS)
        except (ConnectionError, TimeoutError):
            pass  # the client is gone, or asleep
        finally:
            self._latest.close(stream)
            self._streams(self._latest.streams)
        return response


def _unknown() -> Problem:
    return Problem(Kind.NOT_FOUND, "Nothing is stored of this user: no event was read, or all expired or were erased.")
