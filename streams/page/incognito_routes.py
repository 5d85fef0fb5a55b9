"""Incognito over HTTP: each action is answered with the list that follows from it, which is a one-off list.

Nothing that a visitor does here is written anywhere: no event, no list, no log line, no metric but counts of lists.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from schemas.events import Event, EventKind
from schemas.limits import Id, Sentence
from schemas.recommendations import Recommendation
from schemas.shown import shown_in_line
from streams.clock import Clock
from streams.errors import TooManyLists
from streams.fold.context import EMPTY, Context, digest_of
from streams.items.catalogue import Catalogue
from streams.page.guests import GuestView, guest_view
from streams.page.incognito import Session, Sessions
from streams.page.picks import MAX_PICKED
from streams.page.requests import GUEST, Refused, Route, in_json, read
from streams.page.views import Did, ListView, View, did, list_view, namer
from streams.page.why import Shown
from streams.privacy.sessions import one_off
from streams.serving.explaining import Subject
from streams.serving.one_off import OneOffLists
from streams.web.rate import Bucket, Buckets

STARTS_PER_SECOND = 10.0
ACTS_PER_SECOND = 10.0
"""New sessions of all pages, and actions of one session."""

SWEEP_SECONDS = 30.0
"""Between two looks for sessions that are over."""

USER = "incognito"
"""In the place of a user id, in this worker's memory only."""


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start with these likes, with a wish, or with both; or with the likes of a user of this worker."""

    likes: Annotated[tuple[Id, ...], Meta(max_length=MAX_PICKED)] = ()
    wish: Sentence | None = None
    like_user: Id | None = None


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that the visitor does with an item."""

    kind: Annotated[str, Meta(pattern="^(click|like|dismiss)$")]
    item: Id
    list: Id | None = None


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Sentence


class Withdraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: Id


class Leave(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End the session, and erase what is held of it."""


class Answer(View, frozen=True, kw_only=True):
    """What the visitor did, and their list. `key` is that of a new session."""

    guest: GuestView
    list: ListView
    key: str | None = None


class Incognito:
    """The routes of incognito visitors. `lists` returns what makes the lists, None while the worker starts; `likes_of`,
    what a user whose lists are seen here liked last. `held` is called with the number of sessions."""

    def __init__(
        self,
        *,
        lists: Callable[[], OneOffLists | None],
        catalogue: Catalogue,
        likes_of: Callable[[str], tuple[str, ...]],
        draw: Callable[[int], str],
        clock: Clock,
        held: Callable[[int], object],
    ) -> None:
        self._lists = lists
        self._catalogue = catalogue
        self._likes_of = likes_of
        self._draw = draw
        self._clock = clock
        self._held = held
        self._sessions = Sessions()
        self._starts = Bucket(STARTS_PER_SECOND)
        self._acts = Buckets(ACTS_PER_SECOND, 1_024)
        self._sweeping: asyncio.TimerHandle | None = None
        self._forgetting: set[asyncio.Task[bool]] = set()

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("POST", "/page/api/incognito", self._begin),
            ("POST", "/page/api/incognito/events", self._act),
            ("POST", "/page/api/incognito/wishes", self._wish),
            ("POST", "/page/api/incognito/withdrawals", self._withdraw),
            ("POST", "/page/api/incognito/erasures", self._leave),
        )

    def find(self, key: str) -> Session | None:
        """The session with this key."""
        return self._sessions.find(key, self._clock.monotonic())

    def shown(self, session: Session, lists: OneOffLists) -> Shown | None:
        """The list of a session, and its context, which is empty once the session is over."""
        if session.last is None:
            return None
        marking = lists.basis(()).marking

        def context() -> Context:
            return lists.basis(session.events()).context if session in self._sessions else EMPTY

        async def done() -> None:
            if session not in self._sessions:
                await lists.forget([session.number])  # it ended while the model read it again

        return Shown(session.last, Subject(context, marking, session.number, None), done)

    async def close(self, _application: web.Application | None = None) -> None:
        """Stop looking for sessions that are over."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._forgetting:
            task.cancel()

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        wanted = await read(request, Begin)
        now = self._clock.monotonic()
        if not self._starts.take(now):
            raise Refused(429, "Many visitors start at this moment. Try again in a second.", "rate")
        likes = wanted.likes if wanted.like_user is None else self._likes_of(wanted.like_user)[-MAX_PICKED:]
        if not likes and wanted.wish is None:
            raise Refused(422, "There is nothing to start from: pick something that you like, or say what you want.")
        number = one_off(int(self._draw(8), 16) >> 1)
        session = Session(self._draw(16), USER, number=number, used=now)
        events = [self._event(EventKind.LIKE, item=item) for item in dict.fromkeys(likes)]
        if wanted.wish is not None:
            events.append(self._event(EventKind.STEER, text=wanted.wish))
        self._sessions.add(session)
        try:
            return in_json(await self._follow(session, tuple(events), key=session.key))
        except BaseException:
            await self._end(session)
            raise
        finally:
            self._sweep()

    async def _act(self, request: web.Request) -> web.StreamResponse:
        session = self._active(request)
        act = await read(request, Act)
        return in_json(await self._follow(session, (self._event(EventKind(act.kind), item=act.item),)))

    async def _wish(self, request: web.Request) -> web.StreamResponse:
        session = self._active(request)
        wish = await read(request, Wish)
        return in_json(await self._follow(session, (self._event(EventKind.STEER, text=wish.text),)))

    async def _withdraw(self, request: web.Request) -> web.StreamResponse:
        session = self._active(request)
        event = (await read(request, Withdraw)).event
        if not session.may_withdraw(event):
            raise Refused(422, "That event is not yours, or withdrawn already.")
        return in_json(await self._follow(session, (), without=event))

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        await read(request, Leave)
        session = self._found(request)
        return in_json({"erased": True, "model": await self._end(session)})

    async def _follow(
        self, session: Session, more: tuple[Event, ...], *, without: str | None = None, key: str | None = None
    ) -> Answer:
        async with session.turn:
            return await self._answer(session, more, without, key)

    async def _answer(self, session: Session, more: tuple[Event, ...], without: str | None, key: str | None) -> Answer:
        """The list after `more` events, or one fewer. If it cannot be made, nothing has happened."""
        began, lists = self._clock.monotonic(), self._ready()
        for event in more:
            if event.item is not None and self._named(event.item) is None:
                raise Refused(422, "That item is not in the catalogue any more: pick another one.")
        events = session.events(more, without)
        try:
            made = await lists.make(events, session=session.number)
        except TooManyLists:
            raise Refused(503, "The worker makes as many lists as it can. Try again in a second.") from None
        if session not in self._sessions:
            await lists.forget([session.number])  # it ended while the list was made
            raise _gone()
        for event in more:
            session.add(event)
        if without is not None:
            session.withdrawn.add(without)
        now_ms = self._clock.now_ms()
        shown = Recommendation(  # as a published list would be, for the view of it
            id=self._draw(16),
            user=USER,
            scene=made.scene,
            ts=made.ts,
            trigger=more[-1].id if more else "",
            partition=0,
            offset=0,
            entries=made.entries,
            model_version=made.model_version,
            degraded=made.degraded,
            unasked=made.unasked,
            freshness_ms=(self._clock.monotonic() - began) * 1000,
            took_ms=made.took_ms,
            context=digest_of(lists.basis(events).context),
            wishes=made.wishes,
        )
        view = list_view(
            shown,
            before=session.last,
            compared=made.compared,
            reflects=did(more[-1], namer(self._catalogue)) if more else Did(user=USER, kind="forget", at=now_ms),
            past=(),
            catalogue=self._catalogue,
        )
        session.last = shown
        return Answer(guest=guest_view(session, self._named), list=view, key=key)

    def _ready(self) -> OneOffLists:
        lists = self._lists()
        if lists is None:
            raise Refused(503, "The worker starts. Try again in a few seconds.")
        return lists

    def _found(self, request: web.Request) -> Session:
        session = self.find(request.headers.get(GUEST, ""))
        if session is None:
            raise _gone()
        return session

    def _active(self, request: web.Request) -> Session:
        session = self._found(request)
        if not self._acts.take(session.key, self._clock.monotonic()):
            raise Refused(429, "That was very fast. Try again in a second.", "rate")
        return session

    def _named(self, item: str) -> str | None:
        known = self._catalogue.get(item)
        return None if known is None else shown_in_line(known.title)

    def _event(self, kind: EventKind, *, item: str | None = None, text: str | None = None) -> Event:
        return Event(id=self._draw(16), user=USER, kind=kind, ts=self._clock.now_ms(), item=item, text=text)

    async def _end(self, session: Session) -> bool:
        """Drop a session here and in the model; whether the model has dropped it."""
        self._sessions.drop(session)
        self._held(len(self._sessions))
        lists = self._lists()
        return lists is None or await lists.forget([session.number])

    def _sweep(self) -> None:
        """Drop what is over, now and again as long as there are sessions."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        gone, lists = self._sessions.over(self._clock.monotonic()), self._lists()
        self._held(len(self._sessions))
        loop = asyncio.get_running_loop()
        if gone and lists is not None:
            task = loop.create_task(lists.forget([session.number for session in gone]))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)
        if len(self._sessions):
            self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep)


def _gone() -> Refused:
    return Refused(410, "This incognito session is over, and what you did in it is erased: start again.")
