"""Keep a tritonserver running: restart it after it exits by itself, with exponential backoff."""

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from inference.errors import InferenceError, TritonFailed

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0
STEADY_SECONDS = 300.0
"""After this long a run counts as steady, and the backoff starts again at `FIRST_SECONDS`."""

LOOK_SECONDS = 0.2


class Server(Protocol):
    """The required interface of a `TritonServer`."""

    @property
    def running(self) -> bool: ...

    def last_words(self) -> str: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


def pause(before: float, up: float) -> float:
    """Seconds until the next start of a server that was up for `up` seconds, after a pause of `before` (0: none)."""
    return FIRST_SECONDS if before == 0 or up >= STEADY_SECONDS else min(2 * before, MOST_SECONDS)


def serve(
    start: Callable[[int], S],
    *,
    on_ready: Callable[[S], None],
    on_end: Callable[[str], None],
    stopping: threading.Event,
    restart: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Serve until `stopping` is set.

    `start` gets the number of restarts (0 at first) and returns the server when it is ready. `on_end` gets a message
    with how it exited and the next restart. Raises the errors of the first `start`, and of any `start` once `stopping`
    is set, and `TritonFailed` if a server exits and `restart` is False.
    """
    restarts, wait = 0, 0.0
    while True:
        began: float | None = None
        try:
            server = start(restarts)
            began = clock()
            ended = _ended(server, on_ready, stopping)
        except (InferenceError, OSError) as error:
            if restarts == 0 or stopping.is_set():
                raise
            ended = str(error)
        if ended is None:
            return
        if not restart:
            raise TritonFailed(ended)
        up = 0.0 if began is None else clock() - began
        wait = pause(wait, up)
        restarts += 1
        on_end(f"{ended}\nIt was up for {up:.0f} s; restart {restarts} follows in {wait:.0f} s")
        if stopping.wait(wait):
            return


def _ended(server: S, on_ready: Callable[[S], None], stopping: threading.Event) -> str | None:
    """How the server exited by itself, or None once `stopping` is set; stops it in either case."""
    try:
        on_ready(server)
        while not stopping.wait(LOOK_SECONDS):
            if not server.running:
                return server.last_words()
        return None
    finally:
        server.stop()
