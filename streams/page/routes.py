"""The live page over HTTP: its files, a stream of what happens, and what visitors do, which goes to Kafka.

Everything works on behalf of one origin, the page's own. There are no cookies: browsers send those of one port to all
ports of a machine, and with any request. Instead a script that can read the page's answers, which only the page's own
can, sends what they held: a token with each write, and the key of its guest. On top of that, a write needs an Origin
that names the host which it was sent to, and browsers tell what other sites ask for (`Sec-Fetch-Site`).
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.limits import Id, Sentence
from schemas.topics import EVENTS
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.page.guests import Guest, Guests, GuestView, guest_view
from streams.page.picks import MAX_PICKED
from streams.page.requests import GUEST, Checked, Refused, Route, in_json, read
from streams.page.viewing import Viewing
from streams.page.views import ItemView, View
from streams.web.event_streams import HEADERS, TooManyStreams, write_all
from streams.web.rate import Bucket, Buckets
from streams.web.sending import NotSent, Publish, send_in_time

STARTS_PER_SECOND = 20.0
ACTS_PER_SECOND = 10.0
"""New guests of all pages, and events of one guest."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing inline, nothing from elsewhere, and no text of ours or of others becomes markup."""

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start as a new user with these likes, or with those of a user of this worker, or with a wish."""

    likes: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MAX_PICKED)] | None = None
    like_user: Id | None = None
    wish: Sentence | None = None


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that the guest does with an item, perhaps one of a list."""

    kind: Literal["click", "like", "dismiss"]
    item: Id
    list: Id | None = None


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the guest wants, in a sentence."""

    text: Sentence


class Withdraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forget one event of the guest's."""

    event: Id


class Erase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Erase the guest."""


class Started(View, frozen=True, kw_only=True):
    key: str
    guest: GuestView


class Opening(View, frozen=True, kw_only=True):
    """What the page needs before it can show anything."""

    token: str
    picks: tuple[ItemView, ...]


class File(NamedTuple):
    body: bytes
    type: str


def load_files() -> dict[str, File]:
    """The page's files by the path that they are served under; index.html is `/`."""
    found = {}
    for each in files("streams.page").joinpath("static").iterdir():
        kind = TYPES.get(each.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if each.name == "index.html" else f"/page/{each.name}"
            found[path] = File(each.read_bytes(), kind)
    return found


class Page:
    """The routes of the page.

    `picks` are items that a new user may like; `named` is the title of an item, None if it is not in the catalogue.
    `new_user` draws a user id that this worker serves, None if it serves none; `draw` returns random hexadecimal digits
    of as many bytes. `refused` is called with the reason of a refusal, `sent` with the number of events sent. `beside`
    are the routes of what else the page offers.
    """

    def __init__(
        self,
        *,
        viewing: Viewing,
        publish: Publish,
        picks: Callable[[], tuple[ItemView, ...]],
        named: Callable[[str], str | None],
        new_user: Callable[[], str | None],
        draw: Callable[[int], str],
        clock: Clock,
        refused: Callable[[str], object],
        sent: Callable[[int], object],
        beside: Sequence[Route] = (),
    ) -> None:
        self._viewing = viewing
        self._publish = publish
        self._picks = picks
        self._named = named
        self._new_user = new_user
        self._draw = draw
        self._clock = clock
        self._sent = sent
        self._beside = beside
        self._checked = Checked(draw(16), refused)
        self._guests = Guests()
        self._starts = Bucket(STARTS_PER_SECOND)
        self._acts = Buckets(ACTS_PER_SECOND, 1_024)

    def add_to(self, application: web.Application) -> None:
        router = application.router
        for path, file in load_files().items():
            router.add_get(path, _served(file))
        for method, path, handle in (
            ("GET", "/page/api/opening", self._opening),
            ("GET", "/page/api/guest", self._guest),
            ("GET", "/page/api/stream", self._stream),
            ("POST", "/page/api/guests", self._start),
            ("POST", "/page/api/events", self._act),
            ("POST", "/page/api/wishes", self._wish),
            ("POST", "/page/api/withdrawals", self._withdraw),
            ("POST", "/page/api/erasures", self._erase),
            *self._beside,
        ):
            router.add_route(method, path, self._checked.answered(handle))
        application.on_shutdown.append(self._shut)

    def user_of(self, key: str) -> str | None:
        """The guest with this key."""
        guest = self._guests.find(key)
        return None if guest is None else guest.user

    async def _shut(self, _application: web.Application) -> None:
        self._viewing.close_all()

    async def _opening(self, _request: web.Request) -> web.StreamResponse:
        return in_json(Opening(token=self._checked.token, picks=self._picks()))

    async def _guest(self, request: web.Request) -> web.StreamResponse:
        return in_json(guest_view(self._find(request), self._named))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        user = request.query.get("user")
        if request.headers.get(GUEST):
            user = self._find(request).user
        try:
            stream = self._viewing.open(user)
        except TooManyStreams:
            raise Refused(
                503, "As many pages are open as this worker allows. Close one, or try again in a minute.", "streams"
            ) from None
        response = web.StreamResponse(headers=HEADERS)
        try:
            await write_all(request, response, stream)
        except (ConnectionError, TimeoutError):
            pass  # the page is gone, or asleep; it opens another stream when it is back
        finally:
            self._viewing.close(stream)
        return response

    async def _start(self, request: web.Request) -> web.StreamResponse:
        wanted = await read(request, Start)
        if not self._starts.take(self._clock.monotonic()):
            raise Refused(429, "Many visitors start at this moment. Try again in a second.", "rate")
        likes = wanted.likes or ()
        if wanted.like_user is not None:
            likes = self._viewing.likes(wanted.like_user)[-MAX_PICKED:]
        if not likes and wanted.wish is None:
            raise Refused(422, "That user has liked nothing that this worker knows: pick another one.")
        for item in likes:
            self._title(item)
        user = self._new_user()
        if user is None:
            raise Refused(503, "This worker serves no users at the moment. Try again in a few seconds.")
        guest = self._guests.add(self._draw(16), user)
        events = [self._event(guest, EventKind.LIKE, item=item) for item in dict.fromkeys(likes)]
        if wanted.wish is not None:
            events.append(self._event(guest, EventKind.STEER, text=wanted.wish))
        await self._send(guest, events)
        return in_json(Started(key=guest.key, guest=guest_view(guest, self._named)))

    async def _act(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        act = await read(request, Act)
        self._title(act.item)
        await self._send(guest, [self._event(guest, EventKind(act.kind), item=act.item, list=act.list)])
        return in_json(guest_view(guest, self._named))

    async def _wish(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        wish = await read(request, Wish)
        await self._send(guest, [self._event(guest, EventKind.STEER, text=wish.text)])
        return in_json(guest_view(guest, self._named))

    async def _withdraw(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        event = (await read(request, Withdraw)).event
        if not guest.may_withdraw(event):
            raise Refused(422, "That event is not yours, or withdrawn already.")
        await self._publish_in_time([self._output(self._event(guest, EventKind.FORGET, target=event))])
        guest.withdrawn.add(event)
        return in_json(guest_view(guest, self._named))

    async def _erase(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        await read(request, Erase)
        await self._publish_in_time([self._output(self._event(guest, EventKind.ERASE))])
        self._guests.drop(guest.key)
        return in_json({"erased": True})

    def _find(self, request: web.Request) -> Guest:
        guest = self._guests.find(request.headers.get(GUEST, ""))
        if guest is None:
            raise Refused(410, "The worker does not know this guest any more: start again.")
        return guest

    def _active(self, request: web.Request) -> Guest:
        guest = self._find(request)
        if not self._acts.take(guest.key, self._clock.monotonic()):
            raise Refused(429, "That was very fast. Try again in a second.", "rate")
        return guest

    def _title(self, item: str) -> str:
        title = self._named(item)
        if title is None:
            raise Refused(422, "That item is not in the catalogue any more: pick another one.")
        return title

    def _event(self, guest: Guest, kind: EventKind, **about: Any) -> Event:
        return Event(id=self._draw(16), user=guest.user, kind=kind, ts=self._clock.now_ms(), **about)

    def _output(self, event: Event) -> Output:
        return Output(EVENTS.name, event.user.encode(), encode(event))

    async def _send(self, guest: Guest, events: Sequence[Event]) -> None:
        """Send events of the guest's that can be withdrawn, in this order."""
        await self._publish_in_time([self._output(event) for event in events])
        for event in events:
            guest.add(event)

    async def _publish_in_time(self, outputs: Sequence[Output]) -> None:
        try:
            await send_in_time(self._publish, outputs)
        except NotSent as why:
            raise Refused(503, str(why)) from None
        self._sent(len(outputs))


def _served(file: File) -> Any:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(
            body=file.body,
            content_type=file.type,
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin"},
        )

    return serve
