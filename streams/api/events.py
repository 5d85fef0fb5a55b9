"""`POST /v1/events`: checked as a worker checks them when it reads them, and sent to Kafka."""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from schemas.codec import decode_event, encode
from schemas.errors import Refused
from schemas.events import Event
from schemas.http.events import MAX_EVENTS, MAX_EVENTS_BYTES, Sent
from schemas.http.problems import MAX_WRONG, WrongEvent
from schemas.topics import EVENTS
from streams.api.answers import in_json
from streams.api.problems import Kind, Problem
from streams.api.requests import read_body, worded
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.web.sending import NotSent, Publish, send_in_time


class Events:
    """`accepted_from_ms` is the oldest time of an event that is accepted; `draw` returns random hexadecimal digits of
    as many bytes; `sent` is called with the number of events that Kafka has."""

    def __init__(
        self,
        *,
        publish: Publish,
        accepted_from_ms: int,
        draw: Callable[[int], str],
        clock: Clock,
        sent: Callable[[int], object],
    ) -> None:
        self._publish = publish
        self._accepted_from_ms = accepted_from_ms
        self._draw = draw
        self._clock = clock
        self._sent = sent

    async def post(self, request: web.Request) -> web.StreamResponse:
        given = _several(await read_body(request, MAX_EVENTS_BYTES))
        events, wrong = [], []
        for index, one in enumerate(given):
            try:
                events.append(self._event(one))
            except Refused as refused:
                wrong.append(WrongEvent(index=index, detail=refused.detail))
        if wrong:
            of = (
                "The event cannot be used" if len(given) == 1 else f"{len(wrong)} of {len(given)} events cannot be used"
            )
            detail = f"{of}, so none was sent. Of event {wrong[0].index}: {wrong[0].detail}"
            raise Problem(Kind.INVALID, detail, wrong=tuple(wrong[:MAX_WRONG]))
        await self.send(events)
        return in_json(Sent(ids=tuple(event.id for event in events)), 202)

    async def send(self, events: list[Event]) -> None:
        """Send events that are checked. Raises `Problem`."""
        try:
            await send_in_time(
                self._publish, [Output(EVENTS.name, event.user.encode(), encode(event)) for event in events]
            )
        except NotSent as why:
            raise Problem(
                Kind.BROKERS, f"{why} Events may have arrived: with ids of yours, sending again is safe."
            ) from None
        self._sent(len(events))

    def made(self, **fields: Any) -> Event:
        """An event with these fields that happens now. Raises `Problem`."""
        try:
            return self._event(fields)
        except Refused as refused:
            raise Problem(Kind.INVALID, refused.detail) from None

    def _event(self, given: Any) -> Event:
        """An event as it would be read from Kafka, with an id and a time if it lacks them. Raises `Refused`."""
        key = None
        if isinstance(given, dict):
            missing = {"id": self._draw(16), "ts": self._clock.now_ms()}
            given = {**given, **{name: value for name, value in missing.items() if given.get(name) is None}}
            user = given.get("user")
            key = user.encode() if isinstance(user, str) else None
        return decode_event(
            msgspec.json.encode(given),
            key=key,
            now_ms=self._clock.now_ms(),
            accepted_from_ms=self._accepted_from_ms,
        )


def _several(body: bytes) -> list[Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(Kind.INVALID, worded(error)) from None
    given = found if isinstance(found, list) else [found]
    if not 0 < len(given) <= MAX_EVENTS:
        raise Problem(Kind.INVALID, f"Send 1 to {MAX_EVENTS} events in one request.")
    return given
