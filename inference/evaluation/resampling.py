"""Bootstrap intervals over users, as in `inference.evaluation.intervals`, for sums, ratios and other statistics.

Users are drawn with replacement, with all their rows, for both versions at once: every interval is paired.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.intervals import SHARE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 1_000
FEWER_DRAWS = 200
"""For statistics that have no sums and are computed again for each draw."""

_CELLS = 4_000_000


class Ends(NamedTuple):
    """The bounds of `SHARE` of the draws; None if they cannot be computed, as for a single user."""

    low: float | None
    high: float | None


def ends(draws: Floats) -> Ends:
    """The bounds of finite draws; none if some are not finite, or all are alike."""
    if not len(draws) or not np.isfinite(draws).all() or np.ptp(draws) < 1e-12:
        return Ends(None, None)
    low, high = np.quantile(draws, ((1 - SHARE) / 2, (1 + SHARE) / 2))
    return Ends(float(low), float(high))


def resampled(columns: Floats, users: Ints, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """The sums of `columns` [n, k] over the rows of the drawn users, [draws, k]; [0, k] for a single user. Takes at
    most about 96 MB beside the result."""
    _, of = np.unique(users, return_inverse=True)
    count = int(of.max(initial=-1)) + 1
    if count < 2:
        return np.zeros((0, columns.shape[1]))
    sums = np.stack([np.bincount(of, column, minlength=count) for column in columns.T], axis=1)
    found = []
    for begin in range(0, draws, step := max(1, _CELLS // count)):
        size = min(step, draws - begin)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        found.append(times.astype(np.float64) @ sums)
    return np.concatenate(found)


def of_sums(
    columns: Floats, users: Ints, statistic: Callable[[Floats], Floats], rng: np.random.Generator, draws: int = DRAWS
) -> Ends:
    """The interval of a statistic of sums: `columns` [n, k] are summed over the rows of the drawn users, and
    `statistic` turns sums [m, k] into values [m]."""
    sums = resampled(columns, users, rng, draws)
    return ends(statistic(sums)) if len(sums) else Ends(None, None)


def of_mean(values: Floats, users: Ints, rng: np.random.Generator, draws: int = DRAWS) -> Ends:
    """The interval of the mean of `values` [n]."""

    def mean(sums: Floats) -> Floats:
        return np.asarray(sums[:, 0] / sums[:, 1], np.float64)

    return of_sums(np.stack((values, np.ones(len(values))), axis=1), users, mean, rng, draws)


def redrawn(users: Ints, rng: np.random.Generator, draws: int = FEWER_DRAWS) -> Iterator[Ints]:
    """The rows of the drawn users, `draws` times. Nothing for a single user."""
    _, of = np.unique(users, return_inverse=True)
    count = int(of.max(initial=-1)) + 1
    if count < 2:
        return
    rows = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of, minlength=count))[:-1])
    for _ in range(draws):
        yield np.concatenate([rows[user] for user in rng.integers(0, count, count).tolist()])
