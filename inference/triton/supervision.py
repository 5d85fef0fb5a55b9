"""Keep a tritonserver running: one that ends by itself is started again, after a pause that grows."""

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from inference.errors import InferenceError, TritonFailed

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0
STEADY_SECONDS = 300.0
"""A server that was up so long ended for a reason of its own: the pause begins anew."""

LOOK_SECONDS = 0.2


class Server(Protocol):
    """What is needed of a `TritonServer`."""

    @property
    def running(self) -> bool: ...

    def last_words(self) -> str: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


def pause(before: float, up: float) -> float:
    """Seconds until the next start, of a server that was up for `up` seconds and waited for `before` (0: not yet)."""
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

    `start` is given how often the server was started again (0 at first) and returns it when it is ready; `on_end` is
    told how it ended and what comes next. Raises what `start` raises at first, and once `stopping` is set, and
    `TritonFailed` where a server ends without `restart`.
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
        on_end(f"{ended}\nIt lasted {up:.0f} s and is started again in {wait:.0f} s, for the {restarts}. time")
        if stopping.wait(wait):
            return


def _ended(server: S, on_ready: Callable[[S], None], stopping: threading.Event) -> str | None:
    """How the server ended by itself, or None once `stopping` is set; in either case it is stopped."""
    try:
        on_ready(server)
        while not stopping.wait(LOOK_SECONDS):
            if not server.running:
                return server.last_words()
        return None
    finally:
        server.stop()
