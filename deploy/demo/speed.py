"""The demo's pace: as many events a second as this machine makes lists for, up to `FASTEST`. Pure.

The pace starts low and rises while lists are on time, up to a share of the measured capacity. It falls when lists are
late because the machine is small, or busy with other work or with reading the catalogue.
"""

from collections import deque
from statistics import median

from schemas.recommendations import Degraded, Recommendation

FIRST, FASTEST, SLOWEST = 2.0, 20.0, 1.0
"""Events a second."""

BEHIND_MS = 200.0
"""A list that takes longer than this is late."""

LATE = frozenset({Degraded.DEADLINE, Degraded.OVERLOADED, Degraded.CIRCUIT_OPEN})
"""Reasons for a list without the model that mean a lack of time."""

LOOKED_AT = 20
"""Size of the window of recent lists; it is cleared when the pace falls."""

ENOUGH = 5
"""Lists between two changes of the pace."""

UP, DOWN = 1.25, 0.7

SHARE = 0.67
"""Share of the time that lists may take. The worker needs the rest, and events come in bursts."""


class SteadyPace:
    """A constant number of events a second."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.slowed = 0

    def gap(self, _before_ms: int, _after_ms: int) -> float:
        """Seconds between sending two consecutive events."""
        return 1.0 / self.per_second

    def came(self, made: Recommendation) -> None:
        """Record a list; a constant pace ignores it."""


class AdaptivePace(SteadyPace):
    """Events a second, adapted to the latency of recent lists. `slowed` counts the reductions."""

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
