"""`POST /v1/steer`: a sentence in which a user says what they want, as an event; or the end of one."""

from aiohttp import web

from schemas.events import EventKind
from schemas.http.users import Steered, SteerRequest
from streams.api.answers import in_json
from streams.api.events import Events
from streams.api.operations import MAX_BODY_BYTES
from streams.api.problems import Kind, Problem
from streams.api.requests import read


class Steering:
    def __init__(self, events: Events) -> None:
        self._events = events

    async def post(self, request: web.Request) -> web.StreamResponse:
        wanted = await read(request, SteerRequest, MAX_BODY_BYTES)
        if (wanted.text is None) is (wanted.undo is None):
            raise Problem(Kind.INVALID, "Send either a text, or the id of a sentence to undo.")
        what = {"text": wanted.text} if wanted.undo is None else {"target": wanted.undo}
        kind = EventKind.STEER if wanted.undo is None else EventKind.FORGET
        event = self._events.made(user=wanted.user, kind=kind, scene=wanted.scene, **what)
        await self._events.send([event])
        return in_json(Steered(id=event.id), 202)
