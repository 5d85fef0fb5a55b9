"""The figures of a cross-validation as plain data for JSON, with 95% intervals from a bootstrap over users.

accuracy              share of ratings that are predicted right; a like is predicted above a chance of one half
balanced_accuracy     mean of the shares of likes and of dislikes that are predicted right
balanced_at_base      the same where a like is predicted above the share of likes that was learned from
auc                   chance that a random like is ranked above a random dislike
log_loss              mean logarithmic loss, in nats
calibration_error     mean distance of predicted chance and share of likes over `BINS` bins with as many ratings
                      (M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI
                      2015)
accuracy_by_user, balanced_accuracy_by_user   means over the users who have likes and dislikes
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.like_dislike.cross_validation import CLASSIFIER, FACTORIZATION, Judged
from inference.evaluation.like_dislike.logistic import loss
from inference.evaluation.like_dislike.ratings import Floats, Ints
from inference.evaluation.resampling import Ends, ends, of_sums, redrawn

BINS = 15
METRICS = (
    *("accuracy", "balanced_accuracy", "balanced_at_base", "auc", "log_loss", "calibration_error"),
    *("accuracy_by_user", "balanced_accuracy_by_user"),
)

Bools = NDArray[np.bool_]
Sums = NDArray[np.float64]


def figures(judged: Judged, *, seed: int = 0) -> dict[str, Any]:
    """By method and metric {mean, low, high}; and the lead of the classifier over the factorization."""
    methods = {name: _method(judged, chance, seed) for name, chance in judged.chance.items()}
    leads = {
        metric: _lead(judged, metric, seed) for metric in ("accuracy", "balanced_accuracy", "balanced_at_base", "auc")
    }
    return {
        "folds": int(judged.fold.max()) + 1,
        "likes": int(judged.liked.sum()),
        "dislikes": int((~judged.liked).sum()),
        "users": len(np.unique(judged.user)),
        "methods": methods,
        "lead": {"of": CLASSIFIER, "over": FACTORIZATION, **leads},
        "ridges": list(judged.ridges),
    }


def auc(chance: Floats, liked: Bools) -> float:
    """Ties count half; NaN without likes or dislikes."""
    likes, count = int(liked.sum()), len(liked)
    if likes in (0, count):
        return float("nan")
    _, of, counts = np.unique(chance, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    return float((ranks[of][liked].sum() - likes * (likes + 1) / 2) / (likes * (count - likes)))


def calibration_error(chance: Floats, liked: Bools) -> float:
    order = np.argsort(chance, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    return float(sum(abs(float((chance[one] - liked[one]).sum())) for one in bins) / max(1, len(order)))


def _method(judged: Judged, chance: Floats, seed: int) -> dict[str, dict[str, float | None]]:
    liked, user = judged.liked, judged.user
    found = {}
    for metric, above in (("accuracy", 0.5), ("balanced_accuracy", 0.5), ("balanced_at_base", None)):
        right = _right(judged, chance, above)
        columns, statistic = _columns(right, liked), _mean if metric == "accuracy" else _balanced
        found[metric] = _figure(
            float(statistic(columns.sum(axis=0, keepdims=True))[0]),
            of_sums(columns, user, statistic, np.random.default_rng(seed)),
        )
    draws = [auc(chance[rows], liked[rows]) for rows in redrawn(user, np.random.default_rng(seed))]
    found["auc"] = _figure(auc(chance, liked), ends(np.array(draws)))
    # Without an interval: chance adds to it in every draw of a bootstrap.
    found["calibration_error"] = _figure(calibration_error(chance, liked), Ends(None, None))
    each = -np.where(liked, np.log(chance.clip(1e-6)), np.log1p(-chance.clip(0, 1 - 1e-6))).astype(np.float64)
    sums = np.stack((each, np.ones(len(each))), axis=1)
    found["log_loss"] = _figure(
        loss(chance, liked.astype(np.float32)), of_sums(sums, user, _ratio, np.random.default_rng(seed))
    )
    return found | _by_user(_right(judged, chance, 0.5), liked, user, seed)


def _lead(judged: Judged, metric: str, seed: int) -> dict[str, float | None]:
    liked, user = judged.liked, judged.user
    ours, others = judged.chance[CLASSIFIER], judged.chance[FACTORIZATION]
    if metric == "auc":
        pairs = [
            auc(ours[rows], liked[rows]) - auc(others[rows], liked[rows])
            for rows in redrawn(user, np.random.default_rng(seed))
        ]
        return _figure(auc(ours, liked) - auc(others, liked), ends(np.array(pairs)))
    above = None if metric == "balanced_at_base" else 0.5
    statistic = _mean if metric == "accuracy" else _balanced
    columns = np.concatenate([_columns(_right(judged, one, above), liked) for one in (ours, others)], axis=1)

    def difference(sums: Sums) -> Sums:
        return statistic(sums[:, :4]) - statistic(sums[:, 4:])

    return _figure(
        float(difference(columns.sum(axis=0, keepdims=True))[0]),
        of_sums(columns, user, difference, np.random.default_rng(seed)),
    )


def _right(judged: Judged, chance: Floats, above: float | None) -> Bools:
    """Which predictions are right; `above` None is the share of likes that was learned from."""
    return np.asarray((chance > (judged.base if above is None else above)) == judged.liked)


def _columns(right: Bools, liked: Bools) -> Sums:
    return np.stack((right & liked, liked, right & ~liked, ~liked), axis=1).astype(np.float64)


def _mean(sums: Sums) -> Sums:
    return np.asarray((sums[:, 0] + sums[:, 2]) / (sums[:, 1] + sums[:, 3]))


def _balanced(sums: Sums) -> Sums:
    return np.asarray((sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3]) / 2.0)


def _ratio(sums: Sums) -> Sums:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _by_user(right: Bools, liked: Bools, user: Ints, seed: int) -> dict[str, dict[str, float | None]]:
    _, of = np.unique(user, return_inverse=True)
    sums = np.stack([np.bincount(of, column) for column in _columns(right, liked).T], axis=1).astype(np.float64)
    both = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)]
    found: dict[str, dict[str, float | None]] = {}
    statistics: dict[str, Callable[[Sums], Sums]] = {"accuracy_by_user": _mean, "balanced_accuracy_by_user": _balanced}
    for name, statistic in statistics.items():
        if not len(both):
            found[name] = {"mean": None, "low": None, "high": None}
            continue
        values = np.stack((statistic(both), np.ones(len(both))), axis=1)
        interval = of_sums(values, np.arange(len(both)), _ratio, np.random.default_rng(seed))
        found[name] = _figure(float(values[:, 0].mean()), interval)
    return found


def _figure(mean: float, interval: Ends) -> dict[str, float | None]:
    return {"mean": mean, "low": interval.low, "high": interval.high}
