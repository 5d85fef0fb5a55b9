"""Importance weights: how much more often the target policy would have made a logged choice. Pure."""

import numpy as np

from inference.off_policy.terms import Floats

_LARGEST = 700.0
"""Products of weights stay finite: exp(700) is about 1e304."""


def ratios(chances: Floats, propensities: Floats) -> Floats:
    """The weight of each choice: the target's probability of it over the logged one, which must be above 0.

    Raises `ValueError` where the shapes differ or a number is not a probability.
    """
    if chances.shape != propensities.shape:
        raise ValueError(f"chances have shape {chances.shape}, propensities {propensities.shape}")
    if not ((propensities > 0) & (propensities <= 1)).all():
        raise ValueError("propensities must be above 0 and at most 1: a choice was made with some probability")
    if not ((chances >= 0) & (chances <= 1 + 1e-9)).all():
        raise ValueError("chances must be between 0 and 1")
    return chances / propensities


def products(weights: Floats) -> Floats:
    """The running product along each row of [n, k], finite whatever the weights."""
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.log(weights), axis=1)
    return np.asarray(np.exp(np.minimum(logs, _LARGEST)), np.float64)


def effective_sample(weights: Floats) -> float:
    """How many rows of weight 1 say as much: the square of the sum over the sum of squares (L. Kish, "Survey
    Sampling", 1965). 0 if all weights are 0."""
    most = weights.max(initial=0.0)
    if not most > 0:
        return 0.0
    scaled = weights / most
    return float(scaled.sum() ** 2 / (scaled @ scaled))
