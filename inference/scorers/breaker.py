"""A circuit breaker: after consecutive failures it blocks requests for a while, then lets one trial through. Pure.

closed --`failures` in a row--> open --`rest` seconds--> half open --success--> closed
                                 ^                           |
                                 +---------- failure --------+   (rest doubles, up to `max_rest`)
"""

from enum import StrEnum


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Decides whether a request may be sent. Callers pass in times, in seconds of any monotonic clock."""

    def __init__(self, *, failures: int = 5, rest: float = 1.0, max_rest: float = 10.0) -> None:
        if failures < 1 or rest <= 0 or max_rest < rest:
            raise ValueError("failures must be at least 1 and 0 < rest <= max_rest")
        self._limit = failures
        self._first_rest = rest
        self._max_rest = max_rest
        self._rest = rest
        self._failures = 0
        self._opened: float | None = None
        self._trial: float | None = None

    def state(self, now: float) -> State:
        if self._opened is None:
            return State.CLOSED
        return State.OPEN if now - self._opened < self._rest else State.HALF_OPEN

    def allow(self, now: float) -> bool:
        """Whether a request may be sent now. When half open: one, and another after a `rest` without an outcome."""
        match self.state(now):
            case State.CLOSED:
                return True
            case State.OPEN:
                return False
            case State.HALF_OPEN:
                if self._trial is not None and now - self._trial < self._rest:
                    return False
                self._trial = now
                return True

    def succeeded(self) -> None:
        """A request was answered: close the circuit from any state."""
        self._failures = 0
        self._opened = self._trial = None
        self._rest = self._first_rest

    def failed(self, now: float) -> None:
        """A request failed. Failures of requests sent before the circuit opened do not prolong the rest."""
        match self.state(now):
            case State.CLOSED:
                self._failures += 1
                if self._failures >= self._limit:
                    self._opened = now
            case State.HALF_OPEN if self._trial is not None:
                self._opened, self._trial = now, None
                self._rest = min(self._rest * 2, self._max_rest)
            case _:
                pass
