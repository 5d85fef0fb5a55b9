"""Properties of whole lists: precision and recall over what the user likes later, diversity, novelty, long-tail share,
calibration, and coverage of the catalogue.

    precision10, recall10, f1_10   over the items that the user likes from the test on and that the list may show
    diversity        mean distance, 1 - cosine of the items' text vectors, over all pairs of a list: the intra-list
                     distance (C.-N. Ziegler et al., "Improving recommendation lists through topic diversification",
                     WWW 2005)
    novelty          mean self-information log2((U + 1) / (n + 1)) of a list's items, in bits, for U users so far, n of
                     whom have met the item (T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of
                     recommender systems", PNAS 107(10), 2010; the ones keep it finite)
    long_tail        share of items outside the short head (H. Abdollahpouri et al., "Managing popularity bias in
                     recommender systems with personalized re-ranking", FLAIRS 2019); here the head is the fewest items
                     with `HEAD` of all first meetings of a user and an item
    miscalibration   Kullback-Leibler divergence of a list's attributes from those of the user's likes so far, in nats;
                     0 is calibrated (H. Steck, "Calibrated recommendations", RecSys 2018, with its smoothing of 0.01)
    coverage         share of the catalogue in any list (M. Ge et al., "Beyond accuracy: evaluating recommender systems
                     by coverage and serendipity", RecSys 2010)

Everything but precision, recall and F1 is as of the time of the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.protocol import DEPTH, Likes, Step
from schemas.events import Event
from schemas.items import Item

PROPERTIES = ("precision10", "recall10", "f1_10", "diversity", "novelty", "long_tail", "miscalibration")
"""What each list has; NaN where it is undefined, as for an empty list."""

HEAD = 0.8
SMOOTHING = 0.01
REFRESH = 100
"""Events after which the short head is determined again."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Lists:
    """`values`, by method: float32 [tests, PROPERTIES], NaN where the method was not asked. `shown`, by method: bool
    [items], what was in any list. That is 28 bytes per test and 1 byte per item for each method."""

    values: dict[str, Floats] = field(default_factory=dict)
    shown: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


class ListProperties:
    """Measures the lists of all methods along a run, without keeping them."""

    def __init__(
        self, items: Sequence[Item], vectors: Floats, events: Sequence[Event], steps: Sequence[Step], likes: Likes
    ) -> None:
        """`vectors` float32 [items, d] have length 1, or 0 for items without text. Later likes are those of `steps`."""
        self.found = Lists()
        self._numbers = {item.id: number for number, item in enumerate(items)}
        self._attributes = [tuple(dict.fromkeys(item.attributes)) for item in items]
        self._vectors = vectors
        self._tests = sum(step.test for step in steps)
        self._likes = _likes_by_user(events, steps, likes)
        self._met = np.zeros(len(items), np.int64)
        self._users: set[str] = set()
        self._taste: dict[str, dict[str, float]] = {}
        self._head = np.zeros(len(items), np.bool_)
        self._events_of_head = -REFRESH
        self._events = 0
        self._test = -1
        self._relevant: frozenset[str] = frozenset()
        self._wanted: dict[str, int] = {}
        self._shares = np.zeros(0)

    def ask(self, at: int, user: str, hidden: frozenset[str]) -> None:
        """Begin the test at event `at`; lists may not show `hidden`."""
        self._test += 1
        later = self._likes.get(user, [])
        self._relevant = frozenset(item for place, item in later if place >= at) - hidden
        taste = self._taste.get(user, {})
        self._wanted = {attribute: number for number, attribute in enumerate(taste)}
        self._shares = np.array(list(taste.values()))
        self._shares /= self._shares.sum() or 1.0

    def judge(self, name: str, items: Sequence[str]) -> None:
        """Measure a method's list for the test: ids of items of the catalogue, at most DEPTH."""
        values, shown = self.found.values, self.found.shown
        if name not in values:
            values[name] = np.full((self._tests, len(PROPERTIES)), np.nan, np.float32)
            shown[name] = np.zeros(len(self._numbers), np.bool_)
        numbers = np.array([self._numbers[item] for item in items], np.int64)
        hits = sum(item in self._relevant for item in items)
        precision = hits / DEPTH
        recall = hits / len(self._relevant) if self._relevant else np.nan
        f1 = 2.0 * hits / (DEPTH + len(self._relevant))
        row = values[name][self._test]
        row[:3] = precision, recall, f1
        if len(numbers):
            row[3:] = self._diversity(numbers), self._novelty(numbers), self._tail(numbers), self._divergence(numbers)
            shown[name][numbers] = True

    def learn(self, event: Event, liked: bool, first: bool) -> None:
        """Learn an event; `first`: its user had not met its item."""
        number = self._numbers.get(event.item or "")
        if number is None:
            return
        self._events += 1
        self._users.add(event.user)
        self._met[number] += first
        if liked and (attributes := self._attributes[number]):
            taste = self._taste.setdefault(event.user, {})
            for attribute in attributes:
                taste[attribute] = taste.get(attribute, 0.0) + 1.0 / len(attributes)

    def _diversity(self, numbers: Ints) -> float:
        if len(numbers) < 2:
            return np.nan
        rows = self._vectors[numbers].astype(np.float64)
        total = rows.sum(axis=0)
        pairs = len(numbers) * (len(numbers) - 1)
        return float(1.0 - (total @ total - (rows * rows).sum()) / pairs)

    def _novelty(self, numbers: Ints) -> float:
        return float(np.log2((len(self._users) + 1.0) / (self._met[numbers] + 1.0)).mean())

    def _tail(self, numbers: Ints) -> float:
        if self._events - self._events_of_head >= REFRESH:
            self._events_of_head = self._events
            self._head = short_head(self._met)
        return float((~self._head[numbers]).mean())

    def _divergence(self, numbers: Ints) -> float:
        """NaN without likes of items with attributes, or if no item of the list has attributes."""
        described = [of for number in numbers.tolist() if (of := self._attributes[number])]
        if not described or not len(self._shares):
            return np.nan
        listed = np.zeros(len(self._shares))
        for attributes in described:
            for attribute in attributes:
                if (at := self._wanted.get(attribute)) is not None:
                    listed[at] += 1.0 / (len(attributes) * len(described))
        smoothed = (1.0 - SMOOTHING) * listed + SMOOTHING * self._shares
        return float((self._shares * np.log(self._shares / smoothed)).sum())


def short_head(met: Ints) -> NDArray[np.bool_]:
    """bool [items]: the fewest items that hold at least `HEAD` of all meetings, in `met` [items]."""
    order = np.argsort(-met, kind="stable")
    sums = np.cumsum(met[order])
    head = np.zeros(len(met), np.bool_)
    if len(met) and sums[-1]:
        head[order[: int(np.searchsorted(sums, HEAD * sums[-1])) + 1]] = True
    return head


def _likes_by_user(
    events: Sequence[Event], steps: Sequence[Step], likes: Likes
) -> Mapping[str, Sequence[tuple[int, str]]]:
    """Each user's likes among the steps: (event index, item)."""
    found: dict[str, list[tuple[int, str]]] = {}
    for step in steps:
        event = events[step.at]
        if event.item is not None and likes(event):
            found.setdefault(event.user, []).append((step.at, event.item))
    return found
