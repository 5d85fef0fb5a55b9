"""An estimate as sums over the logged rows, so that it can be resampled without being computed again. Pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Terms(NamedTuple):
    """The value of a policy is the sum over m parts of `earned.sum(0) / shares.sum(0)`, each float64 [n, m].

    The shares are 1 for a plain mean, and the weights for a self-normalized one.
    """

    earned: Floats
    shares: Floats

    @property
    def value(self) -> float:
        """NaN if no row has a share: the logs say nothing of the policy."""
        return float(ratios_of(self.earned.sum(0)[None], self.shares.sum(0)[None])[0])

    @property
    def columns(self) -> Floats:
        """[n, 2m], for `values_of`."""
        return np.concatenate((self.earned, self.shares), axis=1)


def mean_of(values: Floats) -> Terms:
    """The plain mean of `values` [n]."""
    return Terms(values[:, None], np.ones((len(values), 1)))


def values_of(sums: Floats) -> Floats:
    """The values [d] of resampled sums [d, 2m] of `Terms.columns`."""
    parts = sums.shape[1] // 2
    return ratios_of(sums[:, :parts], sums[:, parts:])


def ratios_of(earned: Floats, shares: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((earned / shares).sum(1), np.float64)
