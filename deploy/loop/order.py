"""The order of a replay at full speed: a user's next event waits for the list that answers the one before. Pure.

So each like is judged by a list that has read everything that its user did before. Events of different users overtake
each other, within bounds: at most `in_flight` users wait for a list at a time, and no event is sent more than `window`
events before its turn.
"""

from collections.abc import Sequence

from schemas.events import Event


class InOrder:
    """Which of `events` is sent next. Takes one byte an event; `next` looks at `window` events at most."""

    def __init__(self, events: Sequence[Event], *, in_flight: int, window: int) -> None:
        if in_flight < 1 or window < 1:
            raise ValueError("in_flight and window must be at least 1")
        self._events = events
        self._in_flight, self._window = in_flight, window
        self._taken = bytearray(len(events))
        self._first = 0
        self._busy: set[str] = set()

    @property
    def left(self) -> bool:
        """Whether events are left to send."""
        return self._first < len(self._events)

    def next(self) -> int | None:
        """Take the next event that may be sent; its index. Its user then waits for a list. None if none may be sent."""
        if len(self._busy) >= self._in_flight:
            return None
        held = set(self._busy)
        for at in range(self._first, min(self._first + self._window, len(self._events))):
            user = self._events[at].user
            if self._taken[at]:
                continue
            if user not in held:
                self._take(at)
                self._busy.add(user)
                return at
        return None

    def answered(self, user: str) -> None:
        """The user no longer waits."""
        self._busy.discard(user)

    def _take(self, at: int) -> None:
        self._taken[at] = 1
        while self._first < len(self._events) and self._taken[self._first]:
            self._first += 1
