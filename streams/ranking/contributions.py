"""Explains a score: the contribution of each candidate source, and the reason derived from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.limits import MAX_BECAUSE
from schemas.recommendations import Reason
from streams.candidates.moment import Ints
from streams.candidates.nearest import MODEL
from streams.candidates.registry import Sources
from streams.candidates.source import Source
from streams.ranking.blend import Blend, varied
from streams.ranking.shortlist import Shortlist

MAX_TEXT = 400


@dataclass(frozen=True)
class Contributions:
    """The contributions of the signals to the blended scores of some candidates of a shortlist.

    `parts`, float64 [m, columns], is weight x signal of each of m candidates, which may have different weights;
    `model`, float64 [m], the contribution of the model's scores of single candidates. A row of `parts` and its `model`
    sum to the blended score.
    """

    sources: Sources
    parts: NDArray[np.float64]
    model: NDArray[np.float64]

    @cached_property
    def totals(self) -> dict[str, list[float]]:
        """The contribution of each source that has signals to each candidate's score, by the source's name."""
        found = {}
        for name, columns in self.sources.slices.items():
            values = self.parts[:, columns].sum(axis=1)
            if name == self.sources.scored_by_model:
                values = values + self.model
            found[name] = values.tolist()
        return found

    def shares(self, row: int, source: Source) -> dict[str, float]:
        """The contribution of each signal of a source, by its name; the model's own scores are under `model`."""
        columns = self.sources.slices.get(source.name)
        if columns is None:
            return {}
        values = self.parts[row, columns].tolist()
        shares = {signal.name: value for signal, value in zip(source.signals, values, strict=True)}
        if source.name == self.sources.scored_by_model:
            shares[MODEL] = float(self.model[row])
        return shares

    def by_source(self, row: int) -> dict[str, float]:
        """The contribution of each source, by its name: they sum to the blended score. Those of 0 are left out."""
        return {name: values[row] for name, values in self.totals.items() if values[row] != 0.0}


def contributions(chosen: Shortlist, places: Ints, *, blend: Blend, sources: Sources) -> Contributions:
    """The contributions to the scores of some candidates, by their places in the shortlist."""
    parts = chosen.signals[places].astype(np.float64) * varied(blend, chosen.modifiers[places], sources.columns)
    model = np.zeros(len(places))
    if chosen.model is not None:
        model += np.float64(blend.model_weight) * chosen.model[places].astype(np.float64)
    return Contributions(sources, parts, model)


def reason(chosen: Shortlist, place: int, row: int, found: Contributions, total: Mapping[str, float]) -> Reason:
    """Why a candidate is on the list: the evidence that contributes most to its score and can be put into words.

    `row` is the candidate's in `found`, `total` its contributions by source. Sources with equal contributions are asked
    in their order, those without signals last. For an item that the user has met, no counts are mentioned: the user's
    own events are among the counted ones.
    """
    moment, sources = chosen.moment, found.sources
    number, bits = int(chosen.candidates.numbers[place]), int(chosen.candidates.sources[place])
    if chosen.prepared.met[number]:
        text = moment.say("you_liked" if number in moment.known.likes else "you_met")
        return Reason(code=sources.named(bits)[0], text=text, because=(moment.catalogue.index[number],))
    for source in sorted(sources.all, key=lambda one: -total.get(one.name, 0.0) if one.signals else math.inf):
        proposed = bool(bits & sources.bits[source.name])
        words = sources.reason(source, moment, number, proposed=proposed, shares=found.shares(row, source))
        if words is not None:
            because = tuple(moment.catalogue.index[other] for other in words.because[:MAX_BECAUSE])
            return Reason(code=source.name, text=words.text[:MAX_TEXT], because=because)
    raise AssertionError("the filler puts every item into words")
