"""Retrying work that must succeed: one loop, with growing pauses on a clock that is passed in.

    await retry(send, pauses=Pauses(1.0), clock=clock, failed=logged(lines, "Erasure orders could not be published"))

There is no limit of tries: the work is retried until it succeeds, is no longer wanted, or its task is cancelled.
"""

from collections.abc import Awaitable, Callable

from streams.clock import Clock
from streams.health.failures import describe
from streams.log_limit import RateLimitedLog

Failed = Callable[[Exception, float], object]
"""Called with each error and the seconds until the next try. Must not raise."""


class Pauses:
    """The seconds to wait after each failure in a row: `first`, then twice as long each time, at most `longest`
    (default: always `first`). `reset` begins again with `first`."""

    def __init__(self, first: float, longest: float | None = None) -> None:
        self._first = first
        self._longest = first if longest is None else longest
        self._due = first

    def next(self) -> float:
        """The pause after one more failure."""
        pause = self._due
        self._due = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """The work has made progress."""
        self._due = self._first


async def retry(
    work: Callable[[], Awaitable[object]],
    *,
    pauses: Pauses,
    clock: Clock,
    failed: Failed,
    errors: tuple[type[Exception], ...] = (Exception,),
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Await `work()` until it returns, with a pause after each of `errors`; any other error is raised.

    `wanted` is asked before each try: once it is false, this returns without another. Long-running work calls
    `pauses.reset()` when it makes progress, so that the next failure is retried soon. Cancelling ends a try and a
    pause at once.
    """
    while wanted():
        try:
            await work()
        except errors as error:
            pause = pauses.next()
            failed(error, pause)
            await clock.sleep(pause)
        else:
            pauses.reset()
            return


def logged(lines: RateLimitedLog, what: str) -> Failed:
    """Log each failure as an error under the kind `what`, which says what failed: at most one line a minute.

    The line names the types of the errors, not their text, which may name a user.
    """
    return lambda error, pause: lines.error(
        what, f"{what} ({'; '.join(describe(error))}); retrying in {pause:g} s, and until it succeeds"
    )
