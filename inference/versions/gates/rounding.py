"""Rank agreement: the version as it is stored and served ranks as the network that was trained. Pure."""

import numpy as np

from inference.evaluation.resampling import of_mean
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Floats, Trial
from inference.versions.store import Gate

NAME = "rank agreement"


def rounding(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> Gate:
    """Fails if the mean correlation is below the threshold, undefined for some test, or was not measured."""
    found = trial.agreement
    if not len(found) or not np.isfinite(found).all():
        return Gate(
            name=NAME,
            figure=0.0,
            threshold=thresholds.agreement,
            passed=False,
            text="No test was ranked by both the trained network and the served version: hold out more likes."
            if not len(found)
            else "Some scores are not finite or all alike: check the training losses, or serve in fp32.",
        )
    # Every test counts alone: what differs is rounding, not the user.
    mean = float(found.mean())
    low, high = of_mean(found, np.arange(len(found)), rng)
    passed = mean >= thresholds.agreement
    said = f"Spearman's correlation of the trained network with the served version over {len(found):,} tests"
    return Gate(
        name=NAME,
        figure=mean,
        low=low,
        high=high,
        threshold=thresholds.agreement,
        passed=passed,
        text=f"{said}."
        if passed
        else f"{said}. Check that its tokens and vectors are its own, or serve it in fp32 (`dtype`).",
    )


def spearman(left: Floats, right: Floats) -> Floats:
    """Spearman's rank correlation of each row, [n, k] each to [n]; NaN for rows that are not finite or all alike.

    Ties have their mean rank.
    """
    found = np.full(len(left), np.nan)
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        if len(one) > 1 and np.isfinite(one).all() and np.isfinite(other).all():
            x, y = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
            spread = np.sqrt((x @ x) * (y @ y))
            found[row] = x @ y / spread if spread > 0 else np.nan
    return found


def _ranks(values: Floats) -> Floats:
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[of], np.float64)
