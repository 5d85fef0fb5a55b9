"""`POST /v1/recommend` and `GET /v1/recommendations/{user}`."""

from collections.abc import Callable

from aiohttp import web

from schemas.codec import decode_event, encode
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.http.lists import MAX_RECOMMEND_BYTES, ListQuery, RecommendedList, RecommendRequest
from schemas.http.users import UserPath
from streams.api.answers import in_json
from streams.api.latest import Latest
from streams.api.ownership import Ownership
from streams.api.problems import Kind, Problem
from streams.api.requests import of_path, of_query, read
from streams.api.sessions import RequestSessions
from streams.api.views import is_cold, made_list, published_list
from streams.candidates.restriction import FREE, Restriction
from streams.clock import Clock
from streams.errors import TooManyLists, UserErased
from streams.items.catalogue import Catalogue
from streams.serving.one_off import OneOffLists

READER = "request"
"""In the place of a user id, in memory only."""


class ListsOverHttp:
    """`lists` returns what makes one-off lists, None while the worker starts."""

    def __init__(
        self,
        *,
        lists: Callable[[], OneOffLists | None],
        latest: Latest,
        ownership: Ownership,
        sessions: RequestSessions,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._lists = lists
        self._latest = latest
        self._ownership = ownership
        self._sessions = sessions
        self._catalogue = catalogue
        self._clock = clock

    async def recommend(self, request: web.Request) -> web.StreamResponse:
        wanted = await read(request, RecommendRequest, MAX_RECOMMEND_BYTES)
        if wanted.user is not None and (wanted.events or wanted.likes):
            raise Problem(Kind.INVALID, "Send a user, or events and likes: the context of a user is their own events.")
        allowed = Restriction(
            wanted.filter.all_of, wanted.filter.any_of, wanted.filter.none_of, wanted.filter.items, wanted.exclude
        )
        if allowed == FREE:
            allowed = FREE
        if wanted.user is not None:
            return in_json(await self._for_user(wanted.user, wanted.scene, wanted.count, allowed))
        events = self._events(wanted)
        lists = self._ready()
        try:
            with self._sessions.one() as session:
                made = await lists.make(
                    events, session=session, scene=wanted.scene, count=wanted.count, restriction=allowed
                )
        except TooManyLists:
            raise _busy() from None
        return in_json(made_list(made, self._catalogue, cold=not events))

    async def latest(self, request: web.Request) -> web.StreamResponse:
        user, asked = of_path(request, UserPath).user, of_query(request, ListQuery)
        self._ownership.state(user)
        held = self._latest.of(user)
        if held is not None and asked.scene in (None, held.scene):
            return in_json(published_list(held, self._catalogue, asked.count))
        return in_json(await self._for_user(user, asked.scene or "default", asked.count, FREE))

    async def _for_user(self, user: str, scene: str, count: int | None, allowed: Restriction) -> RecommendedList:
        state, subject, lists = self._ownership.state(user), self._ownership.subject(user), self._ready()
        cold = is_cold(subject.context())
        try:
            made = await lists.make_for(user, subject, scene=scene, count=count, restriction=allowed)
        except TooManyLists:
            raise _busy() from None
        except UserErased:
            raise Problem(
                Kind.CHANGED, "The user was erased while the list was made. Ask again for one of a new user."
            ) from None
        if made.model_version is not None and state.open and not cold:
            state.note_version(self._ownership.alias(user), made.model_version)
        return made_list(made, self._catalogue, cold=cold)

    def _events(self, wanted: RecommendRequest) -> list[Event]:
        """What the reader of the list did, checked as events are."""
        now = self._clock.now_ms()
        given = [
            Event(
                id=f"event-{number}",
                user=READER,
                kind=EventKind(done.kind),
                ts=now if done.ts is None else done.ts,
                item=done.item,
                scene=wanted.scene if done.scene is None else done.scene,
                value=done.value,
                text=done.text,
            )
            for number, done in enumerate(wanted.events)
        ]
        given += [
            Event(id=f"like-{number}", user=READER, kind=EventKind.LIKE, ts=now, item=item, scene=wanted.scene)
            for number, item in enumerate(wanted.likes)
        ]
        try:
            return [decode_event(encode(event), key=READER.encode(), now_ms=now, accepted_from_ms=0) for event in given]
        except Refused as refused:
            raise Problem(Kind.INVALID, refused.detail) from None

    def _ready(self) -> OneOffLists:
        lists = self._lists()
        if lists is None:
            raise Problem(Kind.STARTING, "The worker starts. Try again in a few seconds.")
        return lists


def _busy() -> Problem:
    return Problem(Kind.BUSY, "The worker makes as many lists as it can. Try again in a second, or ask another worker.")
