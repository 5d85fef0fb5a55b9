"""Items that users like, above all recently in this scene."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Ints, Moment, trend
from streams.candidates.source import Measured, Signal, Words

LATELY = 0.25
"""The decayed likes in a scene from which an item counts as liked lately: one in the last four weeks, or several
before."""

DOUBT = 10.0
"""How many average events are added to an item's own before the share of likes among them is computed."""


def _likes(moment: Moment, numbers: Ints) -> Measured:
    return np.log1p(moment.graph.likes()[numbers])


def _approval(moment: Moment, numbers: Ints) -> Measured:
    """The share of likes among each candidate's events, drawn towards the overall share if there are few."""
    likes, events = moment.graph.likes(), moment.graph.events()
    usual = likes.sum() / max(1.0, events.sum())
    return np.asarray((likes[numbers] + DOUBT * usual) / (events[numbers] + DOUBT))


def _trend(moment: Moment, numbers: Ints) -> Measured:
    return np.log1p(moment.once(trend)[numbers])


_SIGNALS = (Signal("likes", 0.3, _likes), Signal("approval", 0.05, _approval), Signal("trend", 0.3, _trend))


@dataclass(frozen=True)
class Trending:
    """The best by the decayed trend of the scene, and by likes if the scene has no trend yet."""

    name: str = "trending"
    size: int = 60
    reads_model: bool = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        return moment.best(moment.once(trend) + 1e-6 * moment.graph.likes()[: len(moment.allowed)], self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        if moment.once(trend)[number] >= LATELY:
            return Words(moment.say("liked_lately", scene=moment.scene))
        return Words(moment.say("liked_before")) if moment.graph.likes()[number] > 0 else None
