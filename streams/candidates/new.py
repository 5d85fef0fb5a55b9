"""New items that little is known of. They have no signals: their places on lists are given to them by exploration."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Ints, Moment
from streams.candidates.source import Signal, Words

UNMET = 0.5
"""Events count less as they age: with less than this, no user has met the item."""


@dataclass(frozen=True)
class New:
    """Items published in the last `max_age_ms` with fewer than `max_events` events. Of more than `size`, those that
    no user met come first, then the newest. Items without a time of publication are never new."""

    name: str = "new"
    size: int = 40
    max_age_ms: int = 14 * 86_400_000
    max_events: int = 20
    signals: tuple[Signal, ...] = ()
    reads_model: bool = False

    def propose(self, moment: Moment) -> Ints:
        count = len(moment.allowed)
        published, events = moment.catalogue.published()[:count], moment.graph.events()[:count]
        new = (published > max(0, moment.now_ms - self.max_age_ms)) & (events < self.max_events)
        return moment.best(published + np.where(events < UNMET, 2.0**52, 0.0), self.size, new)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        return None
