"""Open streams of server-sent events: a bounded queue for each.

A client that reads too slowly loses its oldest messages, which are counted; it never holds up the worker or others.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
from aiohttp import web

WRITE_SECONDS = 20.0
"""A client that takes no message for this long is cut off."""

HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}

COMMENT = b":\n\n"

MAX_QUEUED = 32
"""Messages that wait for one client, of at most 64 KiB each and usually below 8."""


class TooManyStreams(Exception):
    """As many streams are open as the worker allows."""


class Stream:
    """The messages for one client, which follows `user` (None: no user)."""

    def __init__(self, user: str | None, dropped: Callable[[], object]) -> None:
        self.user = user
        self._dropped = dropped
        self._queue: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, message: bytes) -> None:
        """Queue a message; drops the oldest if the queue is full."""
        if len(self._queue) == MAX_QUEUED:
            self._queue.popleft()
            self._dropped()
        self._queue.append(message)
        self._filled.set()

    def close(self) -> None:
        self._closed = True
        self._filled.set()

    async def take(self) -> bytes | None:
        """All queued messages, once there is one; None when the stream is closed."""
        await self._filled.wait()
        if self._closed:
            return None
        self._filled.clear()
        taken = b"".join(self._queue)
        self._queue.clear()
        return taken


class Streams:
    """At most `most` open streams; `dropped` is called for each dropped message."""

    def __init__(self, most: int, dropped: Callable[[], object]) -> None:
        self._most = most
        self._dropped = dropped
        self._open: set[Stream] = set()
        self._following: dict[str, set[Stream]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, user: str | None) -> Stream:
        """Raises `TooManyStreams`."""
        if len(self._open) >= self._most:
            raise TooManyStreams
        stream = Stream(user, self._dropped)
        self._open.add(stream)
        if user is not None:
            self._following.setdefault(user, set()).add(stream)
        return stream

    def close(self, stream: Stream) -> None:
        self._open.discard(stream)
        stream.close()
        if stream.user is not None and (same := self._following.get(stream.user)):
            same.discard(stream)
            if not same:
                del self._following[stream.user]

    def close_all(self) -> None:
        for stream in list(self._open):
            self.close(stream)

    def followed(self, user: str) -> bool:
        return user in self._following

    def users(self) -> list[str]:
        """The users who are followed."""
        return list(self._following)

    def end(self, user: str) -> None:
        """End the streams that follow a user; each is then closed by its own request."""
        for stream in self._following.get(user, ()):
            stream.close()

    def tell(self, message: bytes) -> None:
        """To every client."""
        for stream in self._open:
            stream.put(message)

    def tell_followers(self, user: str, message: bytes) -> None:
        for stream in self._following.get(user, ()):
            stream.put(message)


def message(name: str, view: object, encode: Callable[[object], bytes] = msgspec.json.encode) -> bytes:
    """A server-sent event. JSON has no line feeds, so that no text can end it early."""
    return b"event: " + name.encode() + b"\ndata: " + encode(view) + b"\n\n"


async def write_all(
    request: web.Request, response: web.StreamResponse, stream: Stream, *, every: float | None = None
) -> None:
    """Write the messages of a stream until it is closed; with `every`, a comment after that many seconds without one,
    so that proxies and clients know that it lives. Raises ConnectionError or TimeoutError without a reader."""
    await response.prepare(request)
    while True:
        try:
            async with asyncio.timeout(every):
                taken = await stream.take()
        except TimeoutError:
            taken = COMMENT
        if taken is None:
            return
        async with asyncio.timeout(WRITE_SECONDS):
            await response.write(taken)
