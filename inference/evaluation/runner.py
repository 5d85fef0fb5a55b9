"""The loop that carries out a protocol's plan over one order of events, and what it asks of a method."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.draws import TIES_KEY, drawn
from inference.evaluation.met import Met
from inference.evaluation.protocol import DEPTH, Likes, Step
from schemas.events import Event
from schemas.seen import PLAIN, SeenRules

BUCKETS = {"0-2": 2, "3-9": 9, "10-30": 30, "31+": None}
"""People by how many likes of theirs came before the test: name -> the most of them."""


@dataclass(frozen=True)
class Moment:
    """Whom a list is for, where and when, and what is off it. It is all that a method is told of a test.

    `hidden`: the items that the user has seen by the rule of the scene; None for all that they have met.
    """

    user: str
    scene: str
    ts: int
    hidden: frozenset[str] | None = field(default=None, compare=False)


class Ranked(Protocol):
    """An order of the catalogue that stands."""

    def place(self, item: str, draw: float) -> int:
        """How many items come before this one; -1 if it is not listed. `draw`, 0 to below 1, decides among ties."""


@dataclass(frozen=True)
class Scored:
    """Every item by its score: `scores` [items] by the numbers that `find` gives, -inf for what is left out.

    Items of one score are in no order: each place among them is as likely. By number, an item that is met later would
    come later, and the order would tell of the future.
    """

    scores: NDArray[np.floating]
    find: Callable[[str], int | None]

    def place(self, item: str, draw: float) -> int:
        number = self.find(item)
        if number is None or number >= len(self.scores) or not np.isfinite(self.scores[number]):
            return -1
        own = self.scores[number]
        return int((self.scores > own).sum()) + int(draw * int((self.scores == own).sum()))


@dataclass(frozen=True)
class Pool:
    """A set of candidates in no order: it counts towards recall only."""

    items: frozenset[str]


class Method(Protocol):
    """One or several rankings that are learned together."""

    def rank(self, moment: Moment, k: int) -> Mapping[str, "Ranked | Pool | Sequence[str]"]:
        """Under the name of each ranking: its best `k` items, best first, or its whole order; or a set of items."""

    def learn(self, event: Event, liked: bool) -> None:
        """Take in an event."""


class Ranker(Protocol):
    """A simple online method (`inference.evaluation.baselines`)."""

    def learn(self, user: str, item: str, liked: bool, ts: int = 0) -> None: ...

    def order(self, user: str, ts: int = 0, hidden: frozenset[str] | None = None) -> Ranked: ...


class Named:
    """A simple method under its name."""

    def __init__(self, name: str, ranker: Ranker) -> None:
        self._name, self._ranker = name, ranker

    def rank(self, moment: Moment, k: int) -> Mapping[str, Ranked]:
        return {self._name: self._ranker.order(moment.user, moment.ts, moment.hidden)}

    def learn(self, event: Event, liked: bool) -> None:
        if event.item is not None:
            self._ranker.learn(event.user, event.item, liked, event.ts)


@dataclass
class Cursor:
    """Where a run is: the event of the step that is being carried out, and whether it is a test."""

    at: int = -1
    test: bool = False


class Asked(NamedTuple):
    """One test: the event, whose it was, their likes before it, and how many items they had not met."""

    at: int
    person: str
    likes: int
    left: int

    @property
    def bucket(self) -> str:
        return list(BUCKETS)[bisect_left([most for most in BUCKETS.values() if most is not None], self.likes)]


@dataclass
class Outcome:
    """What one run over one order of events gave.

    `places`, by method: the place of each test's item, -1 if it is not listed, None if the method was not asked.
    `found`, by set of candidates: whether each test's item is in it; `sizes`: how many candidates there were in all.
    `seconds`, by method: the time of its `rank`, all that it returns together. `unseen`: whether each test's item was
    met in no event from which the model of that time learned; empty where there is none. `among_unseen`, by model: see
    `inference.evaluation.retrieval.among_unseen`. `events`: in the whole order.
    """

    tests: list[Asked] = field(default_factory=list)
    places: dict[str, list[int | None]] = field(default_factory=dict)
    found: dict[str, list[bool]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    unseen: list[bool] = field(default_factory=list)
    among_unseen: dict[str, list[float]] = field(default_factory=dict)
    events: int = 0
    likes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, place: int) -> None:
        """The place of the last test's item under a method."""
        row = self.places.setdefault(name, [])
        row.extend([None] * (len(self.tests) - 1 - len(row)))
        row.append(place)

    def row(self, name: str) -> list[int | None]:
        """One entry a test."""
        row = self.places.get(name, [])
        return row + [None] * (len(self.tests) - len(row))


def run(
    events: Sequence[Event],
    steps: Sequence[Step],
    methods: Sequence[Method],
    *,
    likes: Likes,
    items: int = 0,
    seed: int = 0,
    seen: SeenRules = PLAIN,
    cursor: Cursor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = perf_counter,
) -> Outcome:
    """Carry out `steps` over `events`. `items` is how many the catalogue has; ties are drawn under `seed`;
    what `seen` says is off the lists. `progress` gets (done, total) steps.

    A test that is not learned in its turn (leave-last-out) is asked as of the last event. `cursor` is moved along.
    """
    outcome = Outcome(events=len(events))
    cursor = cursor or Cursor()
    met = Met(seen)
    liked_by: dict[str, int] = {}
    end = events[-1].ts if events else 0
    for done, step in enumerate(steps):
        event = events[step.at]
        assert event.item is not None
        cursor.at, cursor.test = step.at, step.test
        if step.test:
            now = event.ts if step.learn else end
            hidden = met.hidden(event.user, event.scene, now)
            outcome.tests.append(Asked(step.at, event.user, liked_by.get(event.user, 0), items - len(hidden)))
            moment = Moment(event.user, event.scene, now, None if seen.plain else hidden)
            draw = drawn(event, TIES_KEY + seed)
            for method in methods:
                begun = clock()
                ranked = method.rank(moment, DEPTH)
                _judge(ranked, event.item, draw, clock() - begun, outcome)
        if step.learn:
            liked = likes(event)
            met.learn(event)
            liked_by[event.user] = liked_by.get(event.user, 0) + liked
            for method in methods:
                method.learn(event, liked)
        if done % 500 == 0:
            progress(done, len(steps))
    progress(len(steps), len(steps))
    return outcome


def _judge(
    ranked: Mapping[str, Ranked | Pool | Sequence[str]], item: str, draw: float, taken: float, outcome: Outcome
) -> None:
    for name, one in ranked.items():
        if isinstance(one, Pool):
            outcome.found.setdefault(name, []).append(item in one.items)
            outcome.sizes[name] = outcome.sizes.get(name, 0) + len(one.items)
            continue
        if isinstance(one, Sequence):
            outcome.add(name, one.index(item) if item in one else -1)
        else:
            outcome.add(name, one.place(item, draw))
        outcome.seconds[name] = outcome.seconds.get(name, 0.0) + taken
