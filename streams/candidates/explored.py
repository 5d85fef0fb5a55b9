"""Items without any evidence: the filler if other sources propose too few."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Ints, Moment
from streams.candidates.source import Signal, Words


@dataclass(frozen=True)
class Explored:
    """Any items that may be shown, by digest. It is used last, and only if a list would otherwise be too short."""

    name: str = "explored"
    size: int = 60
    signals: tuple[Signal, ...] = ()
    reads_model: bool = False

    def propose(self, moment: Moment) -> Ints:
        return moment.best(np.zeros(len(moment.allowed)), self.size, moment.allowed)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        return Words(moment.say("explored"))
