"""The newest items by time of publication, if that is known."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Ints, Moment
from streams.candidates.source import Measured, Signal, Words

HALF_LIFE_MS = 30 * 86_400_000


def _fresh(moment: Moment, numbers: Ints) -> Measured:
    age = np.maximum(moment.now_ms - moment.catalogue.published()[numbers], 0)
    return np.exp2(-age / HALF_LIFE_MS)


_SIGNALS = (Signal("fresh", 0.02, _fresh),)


@dataclass(frozen=True)
class Fresh:
    """The newest by the time of publication."""

    name: str = "fresh"
    size: int = 20
    reads_model: bool = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        return moment.best(moment.catalogue.published()[: len(moment.allowed)], self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        return Words(moment.say("newest")) if proposed else None
