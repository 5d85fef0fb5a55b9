"""Baselines that a recommender has to beat, as online learners: learn one event at a time, rank at any time.

    Popularity          most liked items
    DecayedPopularity   most liked items, older likes counting less
    Markov              items that most often followed the user's last item
    ItemKnn             cosine of co-occurrence with the user's last likes

All rank every item that they have met, without the items that the user has seen. Ties are in no order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.runner import Scored

DAY_MS = 86_400_000

Floats = NDArray[np.float64]


class _Baseline:
    """Shared by all baselines: items, numbered as they arrive, and each user's items, in order."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._items: list[str] = []
        self._met: dict[str, list[int]] = {}

    def offer(self, items: Sequence[str]) -> None:
        """Add the catalogue's items, so that items without events are ranked too."""
        for item in items:
            self._number(item)

    def learn(self, user: str, item: str, liked: bool, ts: int = 0) -> None:
        """Learn one event, at `ts` milliseconds."""
        number = self._number(item)
        self._count(user, number, liked, ts)
        self._met.setdefault(user, []).append(number)

    def order(self, user: str, ts: int = 0, hidden: frozenset[str] | None = None) -> Scored:
        """Rank all items as of `ts`, without `hidden` or, if None, the items that the user has met."""
        scores = self._scores(user, ts).copy()
        out = self._met.get(user, []) if hidden is None else [self._numbers[item] for item in hidden]
        scores[out] = -np.inf
        return Scored(scores, self._numbers.get, self._items)

    def _number(self, item: str) -> int:
        number = self._numbers.setdefault(item, len(self._items))
        if number == len(self._items):
            self._items.append(item)
        return number

    def _count(self, user: str, number: int, liked: bool, ts: int) -> None:
        raise NotImplementedError

    def _scores(self, user: str, ts: int) -> Floats:
        """float64 [items met]."""
        raise NotImplementedError


class Popularity(_Baseline):
    """Ranks by the number of likes so far."""

    def __init__(self) -> None:
        super().__init__()
        self._likes = np.zeros(64)

    def _count(self, user: str, number: int, liked: bool, ts: int) -> None:
        self._likes = _grown(self._likes, number)
        self._likes[number] += liked

    def _scores(self, user: str, ts: int) -> Floats:
        self._likes = _grown(self._likes, len(self._items))
        return self._likes[: len(self._items)]


class DecayedPopularity(_Baseline):
    """Ranks by likes that decay with a half-life of `half_life_ms`."""

    def __init__(self, half_life_ms: int = 14 * DAY_MS) -> None:
        super().__init__()
        self._half_life_ms = half_life_ms
        self._likes = np.zeros(64)
        self._as_of = 0

    def _count(self, user: str, number: int, liked: bool, ts: int) -> None:
        self._likes = _grown(self._likes, number)
        if ts > self._as_of:
            self._likes *= 0.5 ** ((ts - self._as_of) / self._half_life_ms)
            self._as_of = ts
        self._likes[number] += liked

    def _scores(self, user: str, ts: int) -> Floats:
        self._likes = _grown(self._likes, len(self._items))
        return self._likes[: len(self._items)]


class _Pairs(_Baseline):
    """A baseline with a count per pair of items, 4 bytes each, for at most `max_items` items (8,192: 256 MiB).

    Items beyond the limit are ranked only by how many users met them.
    """

    def __init__(self, max_items: int = 8192) -> None:
        super().__init__()
        self._max_items = max_items
        self._pairs = np.zeros((64, 64), np.float32)
        self._events = np.zeros(64)

    def _reserve(self, number: int) -> None:
        self._events = _grown(self._events, number)
        size = len(self._pairs)
        if number >= size and size < self._max_items:
            larger = np.zeros((min(self._max_items, max(2 * size, number + 1)),) * 2, np.float32)
            larger[:size, :size] = self._pairs
            self._pairs = larger

    def _inside(self, numbers: list[int]) -> NDArray[np.int64]:
        wanted = np.array(numbers, np.int64)
        return wanted[wanted < len(self._pairs)]


class Markov(_Pairs):
    """Ranks by how often an item came right after the user's last item, liked or not."""

    def _count(self, user: str, number: int, liked: bool, ts: int) -> None:
        self._reserve(number)
        self._events[number] += 1
        last = self._met.get(user, [])[-1:]
        if last and max(number, last[0]) < len(self._pairs):
            self._pairs[last[0], number] += 1

    def _scores(self, user: str, ts: int) -> Floats:
        count = len(self._items)
        self._reserve(count)
        scores = 1e-6 * self._events[:count]  # items that never followed: by their number of events
        for last in self._inside(self._met.get(user, [])[-1:]).tolist():
            inside = min(count, len(self._pairs))
            scores[:inside] += self._pairs[last, :inside]
        return np.asarray(scores)


class ItemKnn(_Pairs):
    """Ranks by the sum, over the user's last `window` likes, of co-occurrences c / (sqrt(n_i n_j) + shrink).

    Two items co-occur once for each user who met both; n is the number of users who met an item. The item-based method
    of Sarwar et al. (WWW 2001), with a shrunk cosine.
    """

    def __init__(self, window: int = 10, shrink: float = 20.0, max_items: int = 8192) -> None:
        super().__init__(max_items)
        self._window = window
        self._shrink = shrink
        self._liked: dict[str, list[int]] = {}

    def _count(self, user: str, number: int, liked: bool, ts: int) -> None:
        self._reserve(number)
        met = self._met.get(user, [])
        if number not in met:
            self._events[number] += 1
            others = self._inside(list(dict.fromkeys(met)))
            if number < len(self._pairs):
                self._pairs[number, others] += 1
                self._pairs[others, number] += 1
        if liked:
            self._liked.setdefault(user, []).append(number)
            del self._liked[user][: -self._window]

    def _scores(self, user: str, ts: int) -> Floats:
        count = len(self._items)
        self._reserve(count)
        inside = min(count, len(self._pairs))
        root = np.sqrt(self._events)
        scores = 1e-9 * self._events[:count]
        for like in self._inside(self._liked.get(user, [])).tolist():
            scores[:inside] += self._pairs[like, :inside] / (root[like] * root[:inside] + self._shrink)
        return np.asarray(scores)


def _grown(array: Floats, number: int) -> Floats:
    missing = number + 1 - len(array)
    return np.concatenate((array, np.zeros(max(missing, len(array))))) if missing > 0 else array
