"""Judge published lists on the events that follow them, and baselines on the same events. Pure.

The rule is the same for every method. A live event is a test if in it a user likes an item that they have not seen
before (by the scene's rule, as in lists), and a list has been published for them; it is judged just before it is sent.
A method has a hit if the item is among its first `JUDGED` for the user at that moment. Ouzel's are the first entries
of the user's latest list; the baselines rank with all events up to then, including the history, and break ties at
random. All methods leave out items that the user has seen.

A published list lags behind the events by the time it takes to make it. The baselines have no such lag, which favours
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inference.evaluation.draws import TIES_KEY, drawn
from inference.evaluation.met import Met
from inference.evaluation.runner import Ranked
from schemas.actions import sentiment
from schemas.events import Event
from schemas.recommendations import Recommendation
from schemas.seen import PLAIN, SeenRules

JUDGED = 10
OUZEL = "ouzel"


class Ranker(Protocol):
    """A method that learns from each event as it happens. `order` ranks all items except the `hidden` ones."""

    def learn(self, user: str, item: str, liked: bool) -> None: ...

    def order(self, user: str, *, hidden: frozenset[str]) -> Ranked: ...


@dataclass(frozen=True)
class Verdict:
    """The number of tests, each method's hits, and the number of likes that were no tests (`seen` items)."""

    tests: int
    hits: Mapping[str, int]
    seen: int = 0

    def ratio(self, method: str) -> float | None:
        """The share of tests with a hit; None before the first test."""
        return self.hits[method] / self.tests if self.tests else None


@dataclass
class Judge:
    """Keeps each user's latest list and seen items; judges `rankers` beside Ouzel."""

    rankers: Mapping[str, Ranker]
    rules: SeenRules = PLAIN
    tests: int = 0
    seen: int = 0
    _hits: dict[str, int] = field(default_factory=dict)
    _latest: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._met = Met(self.rules)

    def learn(self, event: Event) -> None:
        """Learn from an event without judging it (the history). An event without an item is ignored."""
        if event.item is None:
            return
        liked = sentiment(event.kind, event.value) > 0
        self._met.learn(event)
        for ranker in self.rankers.values():
            ranker.learn(event.user, event.item, liked)

    def published(self, made: Recommendation) -> None:
        """Record a published list as the user's latest."""
        self._latest[made.user] = tuple(entry.item for entry in made.entries[:JUDGED])

    def about_to_send(self, event: Event) -> None:
        """Judge all methods on a live event if it is a test, then learn from it."""
        latest = self._latest.get(event.user)
        liked = event.item is not None and sentiment(event.kind, event.value) > 0
        if liked and latest is not None and self._met.hides(event):
            self.seen += 1
        elif event.item is not None and liked and latest is not None:
            self.tests += 1
            hidden = self._met.hidden(event.user, event.scene, event.ts)
            self._count(OUZEL, event.item in latest)
            draw = drawn(event, TIES_KEY)
            for name, ranker in self.rankers.items():
                self._count(name, 0 <= ranker.order(event.user, hidden=hidden).place(event.item, draw) < JUDGED)
        self.learn(event)

    def verdict(self) -> Verdict:
        return Verdict(self.tests, {name: self._hits.get(name, 0) for name in (OUZEL, *self.rankers)}, self.seen)

    def _count(self, method: str, hit: bool) -> None:
        self._hits[method] = self._hits.get(method, 0) + hit
