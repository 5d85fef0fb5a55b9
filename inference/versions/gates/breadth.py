"""Breadth: how much of the catalogue the top tens cover, and how much they give to the long tail. Pure."""

import numpy as np

from inference.evaluation.resampling import Ends, ends, of_sums, redrawn
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Bools, Floats, Ints, Trial
from inference.versions.store import Gate

HEAD = 0.2
"""The share of items, the most liked, that are not the long tail."""

NARROW = "Check that training did not collapse on a few items: compare its loss with the champion's."


def breadth(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> list[Gate]:
    """Two gates, each relative to the champion. One fails if its ratio is below the threshold and surely below 1."""
    return [_coverage(trial, thresholds.coverage, rng), _long_tail(trial, thresholds.long_tail, rng)]


def covered(top: Ints) -> int:
    """The number of different items in top tens [T, 10]."""
    listed = top[top >= 0]
    return int((np.bincount(listed) > 0).sum()) if len(listed) else 0


def tail(popularity: Ints) -> Bools:
    """The items outside the most liked `HEAD`, bool [items]. Ties are broken by index."""
    found = np.ones(len(popularity), np.bool_)
    found[np.argsort(-popularity, kind="stable")[: round(HEAD * len(popularity))]] = False
    return found


def _coverage(trial: Trial, least: float, rng: np.random.Generator) -> Gate:
    ours, theirs = trial.challenger.top, trial.champion.top
    mine, other, items = covered(ours), covered(theirs), max(1, len(trial.popularity))
    draws = np.array([covered(ours[rows]) / max(1, covered(theirs[rows])) for rows in redrawn(trial.users, rng)])
    if len(draws) and other > 0:
        draws += mine / other - draws.mean()  # draws repeat users, so they cover less: a bias, which is removed
    said = f"{mine / items:.1%} of the catalogue in some top ten of {trial.tests:,} tests, champion {other / items:.1%}"
    return _gate("coverage", mine, other, ends(draws), least, said)


def _long_tail(trial: Trial, least: float, rng: np.random.Generator) -> Gate:
    is_tail = tail(trial.popularity)

    def columns(top: Ints) -> tuple[Floats, Floats]:
        """Places of each test in the tail, and all places."""
        listed = top >= 0
        inside = np.zeros(top.shape, np.bool_)
        inside[listed] = is_tail[top[listed]]
        return inside.sum(1).astype(np.float64), listed.sum(1).astype(np.float64)

    every = np.stack((*columns(trial.challenger.top), *columns(trial.champion.top)), axis=1)

    def shares(sums: Floats) -> tuple[Floats, Floats]:
        return sums[:, 0] / np.maximum(sums[:, 1], 1), sums[:, 2] / np.maximum(sums[:, 3], 1)

    def ratio(sums: Floats) -> Floats:
        mine, other = shares(sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(other > 0, mine / other, np.where(mine > 0, np.inf, 1.0)), np.float64)

    mine, other = (float(share[0]) for share in shares(every.sum(0, keepdims=True)))
    said = f"{mine:.1%} of top tens outside the most liked {HEAD:.0%} of items, champion {other:.1%}"
    return _gate("long-tail share", mine, other, of_sums(every, trial.users, ratio, rng), least, said)


def _gate(name: str, mine: float, other: float, bounds: Ends, least: float, said: str) -> Gate:  # noqa: PLR0917
    """`figure` is the ratio of `mine` to `other`; 1 if the champion has nothing to lose."""
    ratio = mine / other if other > 0 else 1.0
    passed = ratio >= least or (bounds.high is not None and bounds.high >= 1)
    return Gate(
        name=name,
        figure=ratio,
        low=bounds.low,
        high=bounds.high,
        threshold=least,
        passed=passed,
        text=f"{said}." if passed else f"{said}. {NARROW}",
    )
