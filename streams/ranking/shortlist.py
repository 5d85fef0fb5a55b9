"""The candidates of one list: before they are measured, and in the order of their scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.moment import Bools, Floats, Ints, Moment
from streams.candidates.registry import Candidates


@dataclass(frozen=True)
class Prepared:
    """The basis of a user's lists at one time, independent of the blend and the model.

    `found`: the candidates that need no model; `met`: bool [n] by item number, the items that the user has met.
    """

    moment: Moment
    found: Candidates
    met: Bools


@dataclass(frozen=True)
class Shortlist:
    """The candidates of one list, n of them; the arrays are in the order of their numbers.

    `signals` is float32 [n, columns], standardized; `modifiers`, what their weights depend on, float32
    [n, len(MODIFIERS)]; `scores`, the score by them, float32 [n]; `order`, the places of the candidates, best first;
    `marks`, their digests, uint64 [n]. Once the model has answered, `logits` has its score of each candidate, NaN for
    those that it does not know, and `model` the amount that its scores of the requested candidates add to that,
    standardized over those and 0 for the others; both float32 [n], or None.
    """

    prepared: Prepared
    moment: Moment
    candidates: Candidates
    signals: Floats
    modifiers: Floats
    scores: Floats
    order: Ints
    marks: NDArray[np.uint64]
    logits: Floats | None = None
    model: Floats | None = None


def best_first(scores: NDArray[np.floating], marks: NDArray[np.uint64]) -> Ints:
    """The places of `scores` [n], the greatest first. Ties go by `marks`, which do not depend on when an item came."""
    return np.lexsort((marks, -scores))
