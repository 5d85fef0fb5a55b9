"""Intervals of estimates: by resampling users, and valid at every moment. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inference.evaluation.resampling import DRAWS, Ends, ends, resampled
from inference.off_policy.terms import Floats, Ints, Terms, values_of
from schemas.confidence import Bounds, Confidence


class Compared(NamedTuple):
    """The intervals of estimates, and of their differences to the first of them."""

    values: list[Ends]
    differences: list[Ends]


def bootstrap(terms: Sequence[Terms], users: Ints, rng: np.random.Generator, draws: int = DRAWS) -> Compared:
    """95% intervals of estimates on the same rows: users are drawn with replacement, with all their rows, for all
    estimates at once, so that differences are paired (B. Efron and R. Tibshirani, "An introduction to the bootstrap",
    1993). The ends are None for one user, or where a draw has no value."""
    columns = [each.columns for each in terms]
    sums = resampled(np.concatenate(columns, axis=1), users, rng, draws)
    if not len(sums):
        none = [Ends(None, None)] * len(terms)
        return Compared(none, none)
    edges = np.cumsum([each.shape[1] for each in columns])[:-1]
    values = [values_of(each) for each in np.split(sums, edges, axis=1)]
    return Compared([ends(each) for each in values], [ends(each - values[0]) for each in values])


def anytime(
    weights: Floats, rewards: Floats, *, least: float, most: float, clip: float, alpha: float = 0.05
) -> list[Bounds]:
    """The bounds of a policy's value after each row, all at once with probability 1 - `alpha`, so that a log may be
    looked at while it grows. Rows are in the order of time; rewards are between `least` and `most`.

    Clipped weights make the estimate too low for rewards that are not negative, so a bound from below stays one. The
    bound from above is that of what is missing to the best reward (P. Thomas et al., "High-confidence off-policy
    evaluation", AAAI 2015; I. Waudby-Smith et al., "Anytime-valid off-policy inference for contextual bandits",
    2022). Both use the empirical Bernstein sequence of `schemas.confidence`.
    """
    scaled = (rewards - least) / (most - least)
    if ((scaled < 0) | (scaled > 1)).any():
        raise ValueError(f"rewards must be between {least} and {most}")
    clipped = np.minimum(weights, clip)
    low, high = Confidence(0.0, clip, alpha), Confidence(0.0, clip, alpha)
    found = []
    for gain, loss in zip((clipped * scaled).tolist(), (clipped * (1.0 - scaled)).tolist(), strict=True):
        low.add(gain)
        high.add(loss)
        bottom, top = min(1.0, low.bounds.low), max(0.0, 1.0 - high.bounds.low)
        found.append(Bounds(least + bottom * (most - least), least + top * (most - least)))
    return found
