"""How fast the demo goes: as fast as lists keep up here and now, up to `FASTEST`. Pure: it knows what lists took.

It begins slowly and speeds up while lists come in time, up to what they leave time for; when they fall behind, for the
machine is small, or busy with other work or with reading the catalogue, it slows down.
"""

from collections import deque
from statistics import median

from schemas.recommendations import Degraded, Recommendation

FIRST, FASTEST, SLOWEST = 2.0, 20.0, 1.0
"""Events a second."""

BEHIND_MS = 200.0
"""A list that takes longer than this is late."""

LATE = frozenset({Degraded.DEADLINE, Degraded.OVERLOADED, Degraded.CIRCUIT_OPEN})
"""What keeps the model out of a list for want of time."""

LOOKED_AT = 20
"""Lists that say how things are; after a change, those made since."""

ENOUGH = 5
"""Lists for a step upwards, and for one downwards."""

UP, DOWN = 1.25, 0.7

SHARE = 0.67
"""Of the time, that lists may take: the worker needs some, and people's events come in bursts."""


class SteadyPace:
    """Events a second, the same throughout."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.slowed = 0

    def gap(self, _before_ms: int, _after_ms: int) -> float:
        """Seconds from sending one event to sending the next."""
        return 1.0 / self.per_second

    def came(self, made: Recommendation) -> None:
        """A list came out."""


class AdaptivePace(SteadyPace):
    """Events a second, by what the lists of late took. `slowed` counts the steps downwards."""

    def __init__(self, first: float = FIRST) -> None:
        super().__init__(first)
        self._took: deque[float] = deque(maxlen=LOOKED_AT)
        self._late: deque[bool] = deque(maxlen=LOOKED_AT)
        self._since = 0

    def came(self, made: Recommendation) -> None:
        self._took.append(made.freshness_ms)
        self._late.append(made.freshness_ms > BEHIND_MS or made.degraded in LATE)
        self._since += 1
        if self._since < ENOUGH:
            return
        if sum(self._late) > 0.1 * len(self._late):
            self._step(max(SLOWEST, DOWN * self.per_second))
        elif not self._late[-1]:
            ceiling = min(FASTEST, max(SLOWEST, SHARE * 1000 / max(median(self._took), 1.0)))
            wanted = min(UP * self.per_second, ceiling)
            if wanted > self.per_second or wanted < 0.9 * self.per_second:
                self._step(wanted)

    def _step(self, per_second: float) -> None:
        if per_second < self.per_second:
            self.slowed += 1
            self._took.clear()
            self._late.clear()
        self.per_second = per_second
        self._since = 0
