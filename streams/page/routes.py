"""The live page over HTTP: its files, a stream of what happens, and what visitors do, which goes to Kafka.

Everything works on behalf of one origin, the page's own. There are no cookies: browsers send those of one port to all
ports of a machine, and with any request. Instead a script that can read the page's answers, which only the page's own
can, sends what they held: a token with each write, and the key of its guest. On top of that, a write needs an Origin
that names the host which it was sent to, and browsers tell what other sites ask for (`Sec-Fetch-Site`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from msgspec import Meta

from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.limits import Id, Sentence
from schemas.recommendations import Recommendation
from schemas.shown import shown_in_line
from schemas.topics import EVENTS
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.page.guests import Guest, Guests
from streams.page.picks import MAX_PICKED
from streams.page.streams import Stream, TooManyStreams
from streams.page.viewing import Viewing
from streams.page.views import ItemView, View, why_view
from streams.serving.explaining import Explained, NotExplained
from streams.web.rate import Bucket, Buckets
from streams.wording.language import preferred

T = TypeVar("T")

MAX_BODY_BYTES = 16 * 1024
"""As many ids as a request may have, with every character escaped."""

STARTS_PER_SECOND = 20.0
ACTS_PER_SECOND = 10.0
WHYS_PER_SECOND = 10.0
"""New guests of all pages, events of one guest, and questions why of all pages."""

MAX_LANGUAGES = 200
"""Characters of the languages that a reader prefers."""

WRITE_SECONDS = 20.0
"""A page that takes no message for this long is closed."""

SEND_SECONDS = 5.0
"""Maximum time for the brokers to take an event."""

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

TOKEN, GUEST = "X-Ouzel-Token", "X-Ouzel-Guest"

Publish = Callable[[Sequence[Output]], Awaitable[None]]


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


class DoneView(View, frozen=True, kw_only=True):
    """An event of the guest's, with the id to withdraw it by. `title` is that of its item, or the sentence."""

    id: str
    kind: str
    at: int
    title: str
    withdrawn: bool


class GuestView(View, frozen=True, kw_only=True):
    """A guest and what they did, newest first."""

    user: str
    done: tuple[DoneView, ...]


class Started(View, frozen=True, kw_only=True):
    key: str
    guest: GuestView


class Opening(View, frozen=True, kw_only=True):
    """What the page needs before it can show anything."""

    token: str
    picks: tuple[ItemView, ...]


class Refused(Exception):
    """A request that is refused with a sentence."""

    def __init__(self, status: int, text: str, why: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.why = why


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
    of as many bytes. `explain` returns the causes of the last list of a user of this worker. `refused` is called with
    the reason of a refusal, `sent` with the number of events sent.
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
        explain: Callable[[Recommendation], Awaitable[Explained]],
        clock: Clock,
        refused: Callable[[str], object],
        sent: Callable[[int], object],
    ) -> None:
        self._viewing = viewing
        self._publish = publish
        self._picks = picks
        self._named = named
        self._new_user = new_user
        self._draw = draw
        self._explain = explain
        self._clock = clock
        self._refused = refused
        self._sent = sent
        self._token = draw(16)
        self._guests = Guests()
        self._starts = Bucket(STARTS_PER_SECOND)
        self._whys = Bucket(WHYS_PER_SECOND)
        self._acts = Buckets(ACTS_PER_SECOND, 1_024)

    def add_to(self, application: web.Application) -> None:
        router = application.router
        for path, file in load_files().items():
            router.add_get(path, _served(file))
        for method, path, handle in (
            ("GET", "/page/api/opening", self._opening),
            ("GET", "/page/api/guest", self._guest),
            ("GET", "/page/api/stream", self._stream),
            ("GET", "/page/api/why", self._why),
            ("POST", "/page/api/guests", self._start),
            ("POST", "/page/api/events", self._act),
            ("POST", "/page/api/wishes", self._wish),
            ("POST", "/page/api/withdrawals", self._withdraw),
            ("POST", "/page/api/erasures", self._erase),
        ):
            router.add_route(method, path, self._answered(handle))
        application.on_shutdown.append(self._shut)

    async def _shut(self, _application: web.Application) -> None:
        self._viewing.close_all()

    def _answered(self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        """The handler, with the checks of every request before it and refusals as JSON."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                return await handle(request)
            except Refused as refused:
                if refused.why is not None:
                    self._refused(refused.why)
                headers = {"Retry-After": "2"} if refused.status in (429, 503) else None
                return _json({"error": refused.text}, status=refused.status, headers=headers)

        return answer

    def _check(self, request: web.Request) -> None:
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none"):
            raise Refused(403, "Only the page's own scripts may ask for this.", "origin")
        if request.method == "POST":
            origin = urlsplit(request.headers.get("Origin", ""))
            if origin.netloc.lower() != request.headers.get("Host", "").lower() or not origin.netloc:
                raise Refused(403, "Only the page itself may send events.", "origin")
            if request.headers.get(TOKEN) != self._token:
                raise Refused(403, "The page is from before the worker's last start: reload it.", "origin")

    async def _opening(self, _request: web.Request) -> web.StreamResponse:
        return _json(Opening(token=self._token, picks=self._picks()))

    async def _guest(self, request: web.Request) -> web.StreamResponse:
        return _json(self._view(self._find(request)))

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
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            await _write_all(request, response, stream)
        except (ConnectionError, TimeoutError):
            pass  # the page is gone, or asleep; it opens another stream when it is back
        finally:
            self._viewing.close(stream)
        return response

    async def _why(self, request: web.Request) -> web.StreamResponse:
        user = self._find(request).user if request.headers.get(GUEST) else request.query.get("user", "")
        made = self._viewing.last(user)
        if made is None or made.id != request.query.get("list"):
            raise Refused(409, "A newer list is out: ask about that one.")
        if not self._whys.take(self._clock.monotonic()):
            raise Refused(429, "Many visitors ask at this moment. Try again in a second.", "rate")
        try:
            explained = await self._explain(made)
        except NotExplained as why:
            raise Refused(409, str(why)) from None
        row = explained.rows.get(request.query.get("item", ""))
        if row is None:
            raise Refused(409, "That entry would not be on the list any more: ask about the next list.")
        language = preferred(request.query.get("languages", "")[:MAX_LANGUAGES].split(","))
        return _json(why_view(explained, row, language, lambda item: self._named(item) or shown_in_line(item)))

    async def _start(self, request: web.Request) -> web.StreamResponse:
        wanted = await _read(request, Start)
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
        return _json(Started(key=guest.key, guest=self._view(guest)))

    async def _act(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        act = await _read(request, Act)
        self._title(act.item)
        await self._send(guest, [self._event(guest, EventKind(act.kind), item=act.item, list=act.list)])
        return _json(self._view(guest))

    async def _wish(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        wish = await _read(request, Wish)
        await self._send(guest, [self._event(guest, EventKind.STEER, text=wish.text)])
        return _json(self._view(guest))

    async def _withdraw(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        event = (await _read(request, Withdraw)).event
        if not guest.may_withdraw(event):
            raise Refused(422, "That event is not yours, or withdrawn already.")
        await self._publish_in_time([self._output(self._event(guest, EventKind.FORGET, target=event))])
        guest.withdrawn.add(event)
        return _json(self._view(guest))

    async def _erase(self, request: web.Request) -> web.StreamResponse:
        guest = self._active(request)
        await _read(request, Erase)
        await self._publish_in_time([self._output(self._event(guest, EventKind.ERASE))])
        self._guests.drop(guest.key)
        return _json({"erased": True})

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
            async with asyncio.timeout(SEND_SECONDS):
                await self._publish(outputs)
        except TopicAuthorizationFailedError:
            raise Refused(503, f"The worker may not write {EVENTS.name}: grant its user Write on it.") from None
        except (KafkaError, TimeoutError):
            raise Refused(503, "The brokers did not take the event in time. Try again in a few seconds.") from None
        self._sent(len(outputs))

    def _view(self, guest: Guest) -> GuestView:
        return GuestView(
            user=guest.user,
            done=tuple(
                DoneView(
                    id=event.id,
                    kind=event.kind.value,
                    at=event.ts,
                    title=shown_in_line(event.text) if event.text else self._named(event.item or "") or "",
                    withdrawn=event.id in guest.withdrawn,
                )
                for event in reversed(guest.done)
            ),
        )


def _served(file: File) -> Any:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(
            body=file.body,
            content_type=file.type,
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin"},
        )

    return serve


def _json(view: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(view), status=status, content_type="application/json", headers=headers)


async def _read(request: web.Request, kind: type[T]) -> T:
    """The body of a request, checked. Raises `Refused`."""
    if request.content_type != "application/json":
        raise Refused(415, "A request has a body of JSON.")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError:
        raise Refused(422, "The page sent what the worker does not know: reload it.") from None


async def _write_all(request: web.Request, response: web.StreamResponse, stream: Stream) -> None:
    """Write the messages of a stream until it is closed. Raises ConnectionError or TimeoutError without a reader."""
    await response.prepare(request)
    while (taken := await stream.take()) is not None:
        async with asyncio.timeout(WRITE_SECONDS):
            await response.write(taken)
