"""Execute a protocol's plan over one order of events, and the interface of evaluated methods."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.beyond_accuracy import ListProperties, Lists
from inference.evaluation.draws import TIES_KEY, drawn
from inference.evaluation.met import Met
from inference.evaluation.protocol import DEPTH, Likes, Step
from schemas.events import Event
from schemas.seen import PLAIN, SeenRules

SIGNAL = "signal:"
"""Name prefix of rankings that are reported separately, as signals."""

BUCKETS = {"0-2": 2, "3-9": 9, "10-30": 30, "31+": None}
"""Buckets of users by their number of likes before the test: name -> maximum."""


@dataclass(frozen=True)
class Moment:
    """The user, scene and time of a list, and the items to leave out: all that a method learns about a test.

    `hidden` holds the items that the user has seen by the rule of the scene; None means all that they have met.
    """

    user: str
    scene: str
    ts: int
    hidden: frozenset[str] | None = field(default=None, compare=False)


class Ranked(Protocol):
    """A finished ranking of the catalogue."""

    def place(self, item: str, draw: float) -> int:
        """The number of items ranked before this one; -1 if not listed. `draw`, 0 to below 1, breaks ties."""

    def best(self, count: int, item: str, draw: float) -> Sequence[str]:
        """The first `count` items, with `item` at its `place`; `draw` breaks the other ties too."""


@dataclass(frozen=True)
class Scored:
    """A ranking by score: `scores` [items], indexed by `find`, -inf for items left out; `items` has their ids.

    Ties are broken at random. Breaking them by index would rank items that arrive later below others and so leak the
    future.
    """

    scores: NDArray[np.floating]
    find: Callable[[str], int | None]
    items: Sequence[str]

    def place(self, item: str, draw: float) -> int:
        number = self.find(item)
        if number is None or number >= len(self.scores) or not np.isfinite(self.scores[number]):
            return -1
        own = self.scores[number]
        return int((self.scores > own).sum()) + int(draw * int((self.scores == own).sum()))

    def best(self, count: int, item: str, draw: float) -> list[str]:
        count = min(count, int(np.isfinite(self.scores).sum()))
        if not count:
            return []
        last = np.partition(self.scores, -count)[-count]
        above = np.flatnonzero(self.scores > last)
        tied = np.random.default_rng(int(draw * 2**53)).permutation(np.flatnonzero(self.scores == last))
        own = self.find(item)
        if own is not None and own in tied:
            tied = np.insert(tied[tied != own], int(draw * len(tied)), own)
        order = np.concatenate((above[np.argsort(-self.scores[above], kind="stable")], tied))[:count]
        return [self.items[number] for number in order.tolist()]


@dataclass(frozen=True)
class Pool:
    """An unordered set of candidates, used for recall only."""

    items: frozenset[str]


class Method(Protocol):
    """One or several rankings that learn together."""

    def rank(self, moment: Moment, k: int) -> Mapping[str, "Ranked | Pool | Sequence[str]"]:
        """By ranking name: the best `k` items, best first, or the whole ranking, or a set of items."""

    def learn(self, event: Event, liked: bool) -> None:
        """Learn an event."""


class Ranker(Protocol):
    """A baseline (`inference.evaluation.baselines`)."""

    def learn(self, user: str, item: str, liked: bool, ts: int = 0) -> None: ...

    def order(self, user: str, ts: int = 0, hidden: frozenset[str] | None = None) -> Ranked: ...


class Named:
    """A named baseline."""

    def __init__(self, name: str, ranker: Ranker) -> None:
        self._name, self._ranker = name, ranker

    def rank(self, moment: Moment, k: int) -> Mapping[str, Ranked]:
        return {self._name: self._ranker.order(moment.user, moment.ts, moment.hidden)}

    def learn(self, event: Event, liked: bool) -> None:
        if event.item is not None:
            self._ranker.learn(event.user, event.item, liked, event.ts)


@dataclass
class Cursor:
    """The position of a run: the event of the current step, and whether it is a test."""

    at: int = -1
    test: bool = False


class Asked(NamedTuple):
    """One test: the event, its user, the user's earlier likes, and the number of items that the user had not met."""

    at: int
    user: str
    likes: int
    left: int

    @property
    def bucket(self) -> str:
        return list(BUCKETS)[bisect_left([most for most in BUCKETS.values() if most is not None], self.likes)]


@dataclass
class Outcome:
    """The result of one run over one order of events.

    `places`, by method: the position of each test's item, -1 if not listed, None if the method was not asked.
    `found`, by candidate set: whether each test's item is in it; `sizes`: the total number of candidates.
    `seconds`, by method: the time of `rank`, for all rankings that it returns. `unseen`: whether each test's item had
    no event in the training data of the model of that time; empty without a model. `among_unseen`, by model: see
    `inference.evaluation.retrieval.among_unseen`. `lists`: the properties of each method's lists, if they were
    measured. `events`: the length of the whole order.
    """

    tests: list[Asked] = field(default_factory=list)
    places: dict[str, list[int | None]] = field(default_factory=dict)
    found: dict[str, list[bool]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    unseen: list[bool] = field(default_factory=list)
    among_unseen: dict[str, list[float]] = field(default_factory=dict)
    lists: Lists = field(default_factory=Lists)
    events: int = 0
    likes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, place: int) -> None:
        """Record a method's position of the last test's item."""
        row = self.places.setdefault(name, [])
        row.extend([None] * (len(self.tests) - 1 - len(row)))
        row.append(place)

    def row(self, name: str) -> list[int | None]:
        """One entry per test."""
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
    measured: ListProperties | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = perf_counter,
) -> Outcome:
    """Execute `steps` over `events`. `items` is the size of the catalogue; `seed` is the tie seed; `seen` says which
    items lists leave out. `progress` is called with (done, total) steps.

    Tests that are not learned in their step (leave-last-out) are ranked as of the last event. `cursor` is updated.
    `measured` measures every list but those of single signals.
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
            if measured is not None:
                measured.ask(step.at, event.user, hidden)
            for method in methods:
                begun = clock()
                ranked = method.rank(moment, DEPTH)
                _judge(ranked, event.item, draw, clock() - begun, outcome)
                if measured is not None:
                    for name, listed in _lists(ranked, event.item, draw):
                        measured.judge(name, listed)
        if step.learn:
            liked = likes(event)
            if measured is not None:
                measured.learn(event, liked, not met.knows(event.user, event.item))
            met.learn(event)
            liked_by[event.user] = liked_by.get(event.user, 0) + liked
            for method in methods:
                method.learn(event, liked)
        if done % 500 == 0:
            progress(done, len(steps))
    progress(len(steps), len(steps))
    if measured is not None:
        outcome.lists = measured.found
    return outcome


def _lists(
    ranked: Mapping[str, Ranked | Pool | Sequence[str]], item: str, draw: float
) -> Iterator[tuple[str, Sequence[str]]]:
    """The lists of methods, without candidate sets and single signals."""
    for name, one in ranked.items():
        if not isinstance(one, Pool) and not name.startswith(SIGNAL):
            yield name, one[:DEPTH] if isinstance(one, Sequence) else one.best(DEPTH, item, draw)


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
