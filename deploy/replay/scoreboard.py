"""What the demo has seen so far: counts, rates, times, and one person to follow. Pure: the time is passed in.

Memory is bounded: of at most `PEOPLE_KEPT` people the last `LIKES_KEPT` likes and the latest list, and the last
`RECENT_KEPT` lists of all.
"""

import math
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from schemas.actions import sentiment
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.recommendations import Recommendation

LIKES_KEPT = 12
PEOPLE_KEPT = 5_000
RECENT_KEPT = 32
RATE_SECONDS = 5
FOLLOWED_SECONDS = 10.0
"""A person is followed for so long at least, and then until somebody else does something."""


class Times:
    """Durations in milliseconds, counted in classes 2% wide: percentiles are within 1%, memory is constant."""

    WIDTH = math.log(1.02)

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self.count = 0

    def add(self, ms: float) -> None:
        self._classes[round(math.log(max(ms, 0.01)) / self.WIDTH)] += 1
        self.count += 1

    def percentile(self, percent: float) -> float | None:
        """The least duration that `percent` of all do not exceed; None if there are none."""
        need = self.count * percent / 100.0
        for each in sorted(self._classes):
            need -= self._classes[each]
            if need <= 1e-9:
                return math.exp(each * self.WIDTH)
        return None


class Rate:
    """How many a second, over the last `RATE_SECONDS` whole seconds."""

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
    """One thing a person liked; `place` is where it stood on their list then, from 1, or None."""

    item: str
    value: float | None
    place: int | None


@dataclass
class Person:
    """One person as the view shows them."""

    likes: deque[Liked] = field(default_factory=lambda: deque(maxlen=LIKES_KEPT))
    liked: int = 0
    latest: Recommendation | None = None
    last: Event | None = None


@dataclass(frozen=True)
class Answer:
    """A list, and the last thing that the person had done when it came."""

    last: Event | None
    made: Recommendation


@dataclass
class Board:
    """Everything the view shows. Feed it with what was sent and what came out."""

    events: int = 0
    lists: int = 0
    degraded: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    event_to_list: Times = field(default_factory=Times)
    events_rate: Rate = field(default_factory=Rate)
    lists_rate: Rate = field(default_factory=Rate)
    recent: deque[Answer] = field(default_factory=lambda: deque(maxlen=RECENT_KEPT))
    _people: OrderedDict[str, Person] = field(default_factory=OrderedDict)
    _followed: str | None = None
    _since: float = 0.0

    def history(self, event: Event) -> None:
        """An event that was there before: it tells of the person and does not count."""
        self._remember(event)

    def sent(self, event: Event, now: float) -> None:
        self.events += 1
        self.events_rate.add(now)
        self._remember(event)
        person = self._people[event.user]
        free = self._followed is None or now - self._since >= FOLLOWED_SECONDS
        if free and event.user != self._followed and person.latest is not None and person.likes:
            self._followed, self._since = event.user, now

    def came(self, made: Recommendation, now: float) -> None:
        self.lists += 1
        self.lists_rate.add(now)
        self.event_to_list.add(made.freshness_ms)
        if made.degraded is not None:
            self.degraded[made.degraded.value] += 1
        person = self._person(made.user)
        person.latest = made
        self.recent.append(Answer(person.last, made))

    def refused(self, letter: DeadLetter) -> None:
        self.dead_letters[letter.code.value] += 1

    @property
    def followed(self) -> Person | None:
        """The person whose likes and list are shown."""
        return self._people.get(self._followed) if self._followed is not None else None

    def _remember(self, event: Event) -> None:
        person = self._person(event.user)
        person.last = event
        if event.item is None or sentiment(event.kind, event.value) <= 0:
            return
        places = [entry.item for entry in person.latest.entries] if person.latest else []
        place = places.index(event.item) + 1 if event.item in places else None
        person.liked += 1
        person.likes.append(Liked(event.item, event.value, place))

    def _person(self, user: str) -> Person:
        person = self._people.get(user)
        if person is None:
            if len(self._people) >= PEOPLE_KEPT:
                self._people.popitem(last=False)
            person = self._people[user] = Person()
        else:
            self._people.move_to_end(user)
        return person
