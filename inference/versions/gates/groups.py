"""The worst group: no group of users, by history length or an attribute, loses much. Pure.

The interval is normal with a variance by user (K.-Y. Liang and S. Zeger, "Longitudinal data analysis using generalized
linear models", Biometrika 1986), at 95% for all groups together (Bonferroni). A bootstrap would need tens of
thousands of draws for the tails of that many groups.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from inference.evaluation.intervals import SHARE
from inference.evaluation.runner import BUCKETS
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import DEPTH, Bools, Floats, Ints, Trial
from inference.versions.store import Gate

NAME = "worst group"


class Group(NamedTuple):
    name: str
    tests: int
    mean: float
    low: float
    high: float


def by_history(likes: Ints) -> dict[str, Bools]:
    """Groups of tests by the user's likes before them."""
    found, begin = {}, 0
    for name, most in BUCKETS.items():
        end = np.inf if most is None else most
        found[f"likes={name}"] = (likes >= begin) & (likes <= end)
        begin = 0 if most is None else most + 1
    return found


def judged(trial: Trial, thresholds: Thresholds) -> list[Group]:
    """All groups with enough tests and users, each with its interval."""
    differences = trial.challenger.gains - trial.champion.gains
    enough = {
        name: rows
        for name, rows in {**by_history(trial.likes), **trial.groups}.items()
        if rows.sum() >= thresholds.group_tests and len(np.unique(trial.users[rows])) >= thresholds.group_users
    }
    wide = NormalDist().inv_cdf(1 - (1 - SHARE) / 2 / max(1, len(enough)))
    found = []
    for name, rows in enough.items():
        mean = float(differences[rows].mean())
        reach = wide * _error(differences[rows], trial.users[rows])
        found.append(Group(name, int(rows.sum()), mean, mean - reach, mean + reach))
    return found


def worst_group(trial: Trial, thresholds: Thresholds) -> Gate:
    """Fails if the interval of some group lies below the margin: the group with the lowest upper end decides."""
    groups = judged(trial, thresholds)
    if not groups:
        return Gate(
            name=NAME,
            figure=0.0,
            threshold=-thresholds.group_margin,
            passed=True,
            text=f"Warning, not decided: no group has {thresholds.group_tests} tests and {thresholds.group_users} "
            "users.",
        )
    worst = min(groups, key=lambda group: group.high)
    passed = worst.high >= -thresholds.group_margin
    said = f"NDCG@{DEPTH} of {worst.name}, the worst of {len(groups)} groups, over {worst.tests:,} tests"
    return Gate(
        name=NAME,
        figure=worst.mean,
        low=worst.low,
        high=worst.high,
        threshold=-thresholds.group_margin,
        passed=passed,
        text=f"{said}." if passed else f"{said}. Train on more events of this group.",
    )


def _error(values: Floats, users: Ints) -> float:
    """The standard error of the mean, with the values of a user depending on each other."""
    _, of = np.unique(users, return_inverse=True)
    sums = np.bincount(of, values - values.mean())
    count = len(sums)
    return float(np.sqrt((sums @ sums) * count / max(1, count - 1)) / len(values))
