"""Bootstrap intervals over people: the tests of one person move together, in whatever order of ties they were made.

The cluster bootstrap (A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", Cambridge 1997, 3.8):
people are drawn again with replacement, and the figure is the mean over all tests of those drawn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
SHARE = 0.95

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """The mean over all tests, and the bounds between which `SHARE` of the drawn means lie."""

    low: float
    high: float
    mean: float


def interval(values: Floats, people: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of the mean of `values` [tests], which belong to `people` [tests], numbered from 0.

    For a paired comparison, give the differences. Memory is 8 bytes a person. All zero where there are no tests.
    """
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    _, of = np.unique(people, return_inverse=True)
    count = int(of.max()) + 1
    sums = np.bincount(of, values, minlength=count)
    tests = np.bincount(of, minlength=count)
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for at in range(draws):
        times = np.bincount(random.integers(0, count, count), minlength=count)
        means[at] = (times @ sums) / (times @ tests)
    low, high = np.quantile(means, ((1 - SHARE) / 2, (1 + SHARE) / 2))
    return Interval(float(low), float(high), float(values.mean()))
