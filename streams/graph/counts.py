"""Counts of single items, in arrays by number. Pure.

Items of the catalogue are at the front of the arrays and unknown ids at the end (`ItemIndex.place`), so that lists,
which read the front, never see them. Takes 24 bytes per number, and 8 per scene with a trend.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.items.index import ItemIndex

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_SCENES = 64
"""Maximum scenes with a trend; beyond that, the one with the fewest likes is evicted."""


class Counts:
    """Likes, events of any kind, and the time of the last one, by place; recent likes by scene and place."""

    def __init__(self, index: ItemIndex) -> None:
        self.likes: Floats = np.zeros(128)
        self.events: Floats = np.zeros(128)
        self.ts: Ints = np.zeros(128, np.int64)
        self.trends: dict[str, Floats] = {}
        self._scene_likes: dict[str, float] = {}
        self._index = index
        self._front = self._back = 64

    def places(self, numbers: Ints) -> Ints:
        """The array positions of these numbers."""
        if numbers.min(initial=0) >= 0:
            return numbers
        limit = self._index.unknown_limit
        return np.where(numbers < 0, ~(~numbers % limit), numbers)

    def reserve(self, place: int) -> None:
        """Grow the arrays to include a position."""
        front, back = self._front, self._back
        if place >= front:
            front = max(place + 1, 2 * front)
        elif -place > back:
            back = max(-place, 2 * back)
        else:
            return

        def wider(old: NDArray[Any]) -> NDArray[Any]:
            new = np.zeros(front + back, old.dtype)
            new[: self._front] = old[: self._front]
            new[-self._back :] = old[-self._back :]
            return new

        self.likes, self.events, self.ts = wider(self.likes), wider(self.events), wider(self.ts)
        self.trends = {scene: wider(of) for scene, of in self.trends.items()}
        self._front, self._back = front, back

    def trend(self, scene: str, likes: float) -> Floats:
        """The trend array of a scene, to which the caller adds `likes` likes."""
        of = self.trends.get(scene)
        if of is None:
            if len(self.trends) >= MAX_SCENES:
                least = min(self._scene_likes, key=self._scene_likes.__getitem__)
                del self.trends[least], self._scene_likes[least]
            of, self._scene_likes[scene] = np.zeros(len(self.likes)), 0.0
            self.trends[scene] = of
        self._scene_likes[scene] += likes
        return of

    def clear(self, place: int) -> None:
        self.likes[place] = self.events[place] = 0.0
        self.ts[place] = 0
        for of in self.trends.values():
            of[place] = 0.0

    def move(self, before: int, after: int) -> None:
        """Move the counts from one position to another."""
        for of in (self.likes, self.events, self.ts, *self.trends.values()):
            of[after] = of[before]
        self.clear(before)

    def worth(self, places: Ints, half_life_ms: int) -> Floats:
        """The log of the event counts, decayed to a common time, for comparing items."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log2(self.events[places]) + self.ts[places] / half_life_ms)
