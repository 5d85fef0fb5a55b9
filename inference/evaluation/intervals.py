"""Bootstrap intervals over users: all tests of a user, from every tie seed, are resampled together.

The cluster bootstrap (A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", Cambridge 1997, 3.8):
users are drawn with replacement, and the statistic is the mean over all tests of the users drawn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
SHARE = 0.95

Floats = NDArray[np.float64]


NO_TESTS = "no tests"
ONE_USER = "all tests are from one user, and an interval over users needs several"
ALL_ALIKE = "it is the same for every user, so resampling users gives no spread"


class Interval(NamedTuple):
    """The mean over all tests, and the bounds that contain `SHARE` of the resampled means.

    If no bounds can be computed they are None and `missing` says why: an interval never has zero width.
    """

    low: float | None
    high: float | None
    mean: float
    missing: str | None = None


def interval(values: Floats, people: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of the mean of `values` [tests]; `people` [tests] are their users, numbered from 0.

    For a paired comparison, pass the differences. Takes 8 bytes of memory per user.
    """
    if not len(values):
        return Interval(None, None, 0.0, NO_TESTS)
    _, of = np.unique(people, return_inverse=True)
    count = int(of.max()) + 1
    if count == 1:
        return Interval(None, None, float(values.mean()), ONE_USER)
    sums = np.bincount(of, values, minlength=count)
    tests = np.bincount(of, minlength=count)
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for at in range(draws):
        times = np.bincount(random.integers(0, count, count), minlength=count)
        means[at] = (times @ sums) / (times @ tests)
    low, high = np.quantile(means, ((1 - SHARE) / 2, (1 + SHARE) / 2))
    if high - low < 1e-12:
        return Interval(None, None, float(values.mean()), ALL_ALIKE)
    return Interval(float(low), float(high), float(values.mean()))
