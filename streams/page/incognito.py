"""Incognito sessions: what visitors do who leave nothing behind.

A session is in this worker's memory only, until the visitor leaves, `IDLE_SECONDS` after the last action, or until it
is the longest idle of more than `MAX_SESSIONS`. It has the last `MAX_DONE` events: about 40 KiB with its last list.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from schemas.events import Event
from schemas.recommendations import Recommendation
from streams.page.guests import Guest

MAX_SESSIONS = 128
IDLE_SECONDS = 1_800.0


@dataclass
class Session(Guest):
    """A visitor without a user. `number` is the session number that the model knows; `used` is when they did something
    last, in seconds of the monotonic clock; `last` is their list. Hold `turn` from an action to its list: each list
    follows from the one before."""

    number: int = -1
    used: float = 0.0
    last: Recommendation | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def events(self, more: tuple[Event, ...] = (), without: str | None = None) -> list[Event]:
        """What counts, oldest first: neither withdrawn nor `without`; and `more`."""
        held = (event for event in self.done if event.id not in self.withdrawn and event.id != without)
        return [*held, *more]


class Sessions:
    """The sessions by key, the most recently used last."""

    def __init__(self, most: int = MAX_SESSIONS, idle_s: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle_s = idle_s
        self._held: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, session: Session) -> bool:
        return self._held.get(session.key) is session

    def add(self, session: Session) -> None:
        self._held[session.key] = session

    def find(self, key: str, now: float) -> Session | None:
        """The session with this key, which is used now."""
        session = self._held.get(key)
        if session is None or now - session.used > self._idle_s:
            return None
        session.used = now
        self._held.move_to_end(key)
        return session

    def drop(self, session: Session) -> None:
        self._held.pop(session.key, None)

    def over(self, now: float) -> list[Session]:
        """Drop the sessions that are idle, or too many; returns them."""
        gone: list[Session] = []
        while self._held:
            oldest = next(iter(self._held.values()))
            if len(self._held) <= self._most and now - oldest.used <= self._idle_s:
                break
            gone.append(oldest)
            self.drop(oldest)
        return gone
