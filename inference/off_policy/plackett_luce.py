"""Lists drawn from scores: each place by the softmax over the candidates that are left. Pure.

R. Plackett, "The analysis of permutations" (Applied Statistics 1975); R. D. Luce, "Individual choice behavior" (1959).
Adding Gumbel noise to the scores and sorting draws from it (J. Yellott, Journal of Mathematical Psychology 1977).
"""

from typing import NamedTuple

import numpy as np

from inference.off_policy.terms import Floats, Ints

OUTSIDE = -1
"""The place of an item that is not among the candidates."""


class Walk(NamedTuple):
    """Of a list with K places, each float64 [K]: `chances`, the probability of its item given those above; `expected`,
    the mean of `values` over what could be at the place."""

    chances: Floats
    expected: Floats


def walk(scores: Floats, places: Ints, values: Floats) -> Walk:
    """Follow a list: `places` [K] are its items among the n candidates, `OUTSIDE` for others, which have the chance 0.

    `scores` [n]: minus infinity for what cannot be chosen. `values` [n]. Once nothing is left, chances and means are 0.
    """
    inside = places >= 0
    chosen = places[inside]
    left = np.ones(len(scores), np.bool_)
    left[chosen] = False
    rest, mean = _pooled(scores[left], values[left])
    own, worth = np.full(len(places), -np.inf), np.zeros(len(places))
    own[inside], worth[inside] = scores[chosen], values[chosen]
    chances, expected = np.zeros(len(places)), np.zeros(len(places))
    for at in range(len(places) - 1, -1, -1):  # from below, so that nothing is subtracted
        total = np.logaddexp(rest, own[at])
        if total > -np.inf:
            chances[at] = np.exp(own[at] - total)
            mean = chances[at] * worth[at] + np.exp(rest - total) * mean
            expected[at] = mean
        rest = total
    return Walk(chances, expected)


def draw(scores: Floats, rng: np.random.Generator, length: int) -> Ints:
    """The first `length` places of a list; fewer if fewer items can be chosen."""
    noisy = scores + rng.gumbel(size=len(scores))
    order = np.argsort(-noisy, kind="stable")[:length]
    return np.asarray(order[noisy[order] > -np.inf], np.int64)


def _pooled(scores: Floats, values: Floats) -> tuple[float, float]:
    """The logarithm of the total weight, and the weighted mean of the values."""
    most = scores.max(initial=-np.inf)
    if most == -np.inf:
        return -np.inf, 0.0
    weights = np.exp(scores - most)
    total = weights.sum()
    return float(most + np.log(total)), float(weights @ values / total)
