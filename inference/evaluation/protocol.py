"""The prequential protocol: test, then learn, in the order in which things happened.

    A. P. Dawid, "Statistical theory: the prequential approach", JRSS A 147(2), 1984.

Events are in order of time, those of one moment in a drawn order (a "tie seed"). The first `warm_up` share is learned
only. After that every `every`-th event, by its place, is a test if it is a like of an item that its person has not met:
each method ranks the full catalogue without what the person has met, and scores by the place of the item that comes.
Then every method learns the event. Nothing is sampled, and no method sees what is later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Protocol

from schemas.events import Event

DEPTH = 10
"""How many places of a list count."""


@dataclass(frozen=True)
class Rule:
    """Which events are tests."""

    warm_up: float = 0.2
    every: int = 4

    def __str__(self) -> str:
        return (
            f"Prequential: test, then learn, in order of time; events of one second in a drawn order (tie seed). The "
            f"first {self.warm_up:.0%} of events warm up; then every {self.every}th event, if it is a like of an item "
            f"new to its person, is a test. Full catalogue, items that the person has met left out; HR@{DEPTH} and "
            f"NDCG@{DEPTH}; no sampling. Mean and spread (greatest less least) over the tie seeds."
        )


@dataclass(frozen=True)
class Moment:
    """Whom a list is for, where and when. It is all that a method is told of a test."""

    user: str
    scene: str
    ts: int


class Method(Protocol):
    """One or several rankings that are learned together."""

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str]]:
        """The k best items for a person, best first, under the name of each ranking."""

    def learn(self, event: Event, liked: bool) -> None:
        """Take in an event."""


class Ranker(Protocol):
    """A simple online method (`inference.evaluation.floors`)."""

    def learn(self, user: str, item: str, liked: bool, ts: int = 0) -> None: ...

    def rank(self, user: str, k: int, ts: int = 0) -> Sequence[str]: ...


class Named:
    """A simple method under its name."""

    def __init__(self, name: str, ranker: Ranker) -> None:
        self._name, self._ranker = name, ranker

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str]]:
        return {self._name: self._ranker.rank(moment.user, k, moment.ts)}

    def learn(self, event: Event, liked: bool) -> None:
        if event.item is not None:
            self._ranker.learn(event.user, event.item, liked, event.ts)


@dataclass
class Outcome:
    """What one run over one order of events gave: by method, the place of each test's item, -1 if it is not listed.

    A method that was not asked in a test has None there.
    """

    tests: int = 0
    places: dict[str, list[int | None]] = field(default_factory=dict)

    def add(self, name: str, place: int) -> None:
        """The place of this test's item under a method."""
        row = self.places.setdefault(name, [])
        row.extend([None] * (self.tests - 1 - len(row)))
        row.append(place)

    def row(self, name: str) -> list[int | None]:
        """One entry a test."""
        row = self.places.get(name, [])
        return row + [None] * (self.tests - len(row))


def run(
    events: Sequence[Event],
    methods: Sequence[Method],
    *,
    likes: Callable[[Event], bool],
    rule: Rule = Rule(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Run the protocol over `events`, in their order. `likes` says which are likes; `progress` gets (done, total)."""
    outcome = Outcome()
    met: dict[str, set[str]] = {}
    begin = int(len(events) * rule.warm_up)
    for at, event in enumerate(events):
        if event.item is None:
            continue
        liked = likes(event)
        known = met.setdefault(event.user, set())
        if at >= begin and at % rule.every == 0 and liked and event.item not in known:
            outcome.tests += 1
            moment = Moment(event.user, event.scene, event.ts)
            for method in methods:
                for name, ranked in method.rank(moment, DEPTH).items():
                    outcome.add(name, _place(ranked, event.item))
        known.add(event.item)
        for method in methods:
            method.learn(event, liked)
        if at % 500 == 0:
            progress(at, len(events))
    progress(len(events), len(events))
    return outcome


def hit_ratio(places: Sequence[int | None]) -> float:
    """The share of the asked tests whose item is among the first DEPTH; 0 if none was asked."""
    asked = [place for place in places if place is not None]
    return sum(place >= 0 for place in asked) / len(asked) if asked else 0.0


def ndcg(places: Sequence[int | None]) -> float:
    """Mean over the asked tests of 1 / log2(place + 2), 0 for an item that is not listed; there is one item a test."""
    asked = [place for place in places if place is not None]
    return sum(1 / log2(place + 2) for place in asked if place >= 0) / len(asked) if asked else 0.0


def _place(ranked: Sequence[str], item: str) -> int:
    ranked = list(ranked[:DEPTH])
    return ranked.index(item) if item in ranked else -1
