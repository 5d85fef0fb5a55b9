"""State of the live view: counts, rates, latencies, and one followed user. Pure: time is passed in.

Memory is bounded: the last `MAX_LIKES` likes and the latest list of at most `MAX_USERS` users, and the last
`MAX_RECENT` lists of all users.
"""

import math
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from schemas.actions import sentiment
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.recommendations import Recommendation

MAX_LIKES = 12
MAX_USERS = 5_000
MAX_RECENT = 32
RATE_SECONDS = 5
FOLLOWED_SECONDS = 10.0
"""A user is followed for at least this long, then until another user with a list acts."""


class Times:
    """A histogram of durations in milliseconds, with buckets 2% wide: percentiles are within 1%, memory is bounded."""

    WIDTH = math.log(1.02)

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self.count = 0

    def add(self, ms: float) -> None:
        self._classes[round(math.log(max(ms, 0.01)) / self.WIDTH)] += 1
        self.count += 1

    def percentile(self, percent: float) -> float | None:
        """The lowest duration that `percent` of all do not exceed; None if there are none."""
        need = self.count * percent / 100.0
        for each in sorted(self._classes):
            need -= self._classes[each]
            if need <= 1e-9:
                return math.exp(each * self.WIDTH)
        return None


class Rate:
    """Events a second, over the last `RATE_SECONDS` whole seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_SECONDS + 1)
        self._began: float | None = None

    def add(self, now: float) -> None:
        if self._began is None:
            self._began = now
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def at(self, now: float) -> float:
        if self._began is None:
            return 0.0
        second = int(now)
        whole = sum(count for at, count in self._seconds if second - RATE_SECONDS <= at < second)
        return whole / min(RATE_SECONDS, max(1, second - int(self._began)))


@dataclass
class Liked:
    """One liked item; `place` is its rank on the user's list at that time, from 1, or None."""

    item: str
    value: float | None
    place: int | None


@dataclass
class UserView:
    """One user in the view."""

    likes: deque[Liked] = field(default_factory=lambda: deque(maxlen=MAX_LIKES))
    liked: int = 0
    latest: Recommendation | None = None
    last: Event | None = None


@dataclass(frozen=True)
class Answer:
    """A list, and the user's last event when it arrived."""

    last: Event | None
    made: Recommendation


@dataclass
class Board:
    """Everything that the view shows. Feed it sent events, lists and dead letters."""

    events: int = 0
    lists: int = 0
    degraded: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    event_to_list: Times = field(default_factory=Times)
    events_rate: Rate = field(default_factory=Rate)
    lists_rate: Rate = field(default_factory=Rate)
    recent: deque[Answer] = field(default_factory=lambda: deque(maxlen=MAX_RECENT))
    _users: OrderedDict[str, UserView] = field(default_factory=OrderedDict)
    _followed: str | None = None
    _since: float = 0.0

    def history(self, event: Event) -> None:
        """Take an event of the history: it updates the user but is not counted."""
        self._remember(event)

    def sent(self, event: Event, now: float) -> None:
        self.events += 1
        self.events_rate.add(now)
        self._remember(event)
        person = self._users[event.user]
        free = self._followed is None or now - self._since >= FOLLOWED_SECONDS
        if free and event.user != self._followed and person.latest is not None and person.likes:
            self._followed, self._since = event.user, now

    def came(self, made: Recommendation, now: float) -> None:
        self.lists += 1
        self.lists_rate.add(now)
        self.event_to_list.add(made.freshness_ms)
        if made.degraded is not None:
            self.degraded[made.degraded.value] += 1
        person = self._user(made.user)
        person.latest = made
        self.recent.append(Answer(person.last, made))

    def refused(self, letter: DeadLetter) -> None:
        self.dead_letters[letter.code.value] += 1

    @property
    def followed(self) -> UserView | None:
        """The user whose likes and list are shown."""
        return self._users.get(self._followed) if self._followed is not None else None

    def _remember(self, event: Event) -> None:
        person = self._user(event.user)
        person.last = event
        if event.item is None or sentiment(event.kind, event.value) <= 0:
            return
        places = [entry.item for entry in person.latest.entries] if person.latest else []
        place = places.index(event.item) + 1 if event.item in places else None
        person.liked += 1
        person.likes.append(Liked(event.item, event.value, place))

    def _user(self, user: str) -> UserView:
        person = self._users.get(user)
        if person is None:
            if len(self._users) >= MAX_USERS:
                self._users.popitem(last=False)
            person = self._users[user] = UserView()
        else:
            self._users.move_to_end(user)
        return person
