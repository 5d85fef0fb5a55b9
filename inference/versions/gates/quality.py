"""Next-item quality: the challenger ranks the newest likes no worse than the champion. Pure.

The same likes are ranked by both, so the differences are paired; the interval is a bootstrap over users.
"""

import numpy as np

from inference.evaluation.resampling import of_mean
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import DEPTH, Floats, Trial
from inference.versions.store import Gate

LESS = "Train on more events or for more epochs, or start from the champion with a lower rate."


def quality(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> list[Gate]:
    """Two gates. One fails if the interval lies below 0, or the mean below the margin, or there are too few tests."""
    champion, challenger = trial.champion, trial.challenger
    return [
        _gate(trial, f"NDCG@{DEPTH}", challenger.gains, champion.gains, thresholds.ndcg_margin, thresholds, rng),
        _gate(trial, f"HR@{DEPTH}", challenger.hits, champion.hits, thresholds.hit_margin, thresholds, rng),
    ]


def _gate(  # noqa: PLR0917
    trial: Trial,
    metric: str,
    ours: Floats,
    theirs: Floats,
    margin: float,
    thresholds: Thresholds,
    rng: np.random.Generator,
) -> Gate:
    name = f"next item {metric}"
    if trial.tests < thresholds.least_tests:
        return Gate(
            name=name,
            figure=0.0,
            threshold=-margin,
            passed=False,
            text=f"{trial.tests} held-out likes, at least {thresholds.least_tests} are needed: wait for more likes, or "
            "lower least_tests.",
        )
    mean = float((ours - theirs).mean())
    low, high = of_mean(ours - theirs, trial.users, rng)
    surely_worse = high is not None and high < 0
    passed = mean >= -margin and not surely_worse
    said = f"{ours.mean():.4f}, champion {theirs.mean():.4f}, on {trial.tests:,} held-out likes"
    if low is None:
        said += "; no interval: all users have one difference, or there is one user"
    return Gate(
        name=name,
        figure=mean,
        low=low,
        high=high,
        threshold=0.0 if surely_worse and mean >= -margin else -margin,
        passed=passed,
        text=f"{said}." if passed else f"{said}. {LESS}",
    )
