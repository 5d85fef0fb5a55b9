"""The items to which the model has the highest affinity, if it gives vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Ints, Moment
from streams.candidates.source import Measured, Signal, Words

MODEL_SOURCE = "nearest"
MODEL = "model"
"""The name, among this source's shares, of what the model's scores of single candidates add."""


def _affinity(moment: Moment, numbers: Ints) -> Measured:
    """0 for all without a model's affinities; an item that the model does not know gets the mean of those it knows."""
    if moment.affinities is None:
        return np.zeros(len(numbers))
    scores, known = moment.affinities.scores[numbers], moment.affinities.known[numbers]
    return np.where(known, scores, scores[known].mean() if known.any() else 0.0)


_SIGNALS = (Signal("affinity", 0.5, _affinity),)


@dataclass(frozen=True)
class Nearest:
    """The best by the product of the context's vector with the item's. Its share of a score includes everything that
    the model adds, so its scores of single candidates too."""

    name: str = MODEL_SOURCE
    size: int = 100
    reads_model: bool = True

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        if moment.affinities is None:
            return np.zeros(0, np.int64)
        count = len(moment.allowed)
        return moment.best(moment.affinities.scores[:count], self.size, moment.affinities.known[:count])

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        """The like whose vector is nearest to the item's; else only that the model likes the item."""
        vectors = None if moment.affinities is None else moment.affinities.vectors
        like = vectors.nearest(number, moment.known.likes) if proposed and vectors is not None else None
        if like is not None:
            return Words(moment.say("close_to", title=moment.catalogue.at(like).title), (like,))
        if proposed or shares.get(MODEL, 0.0) > 0:
            return Words(moment.say("suits"))
        return None
