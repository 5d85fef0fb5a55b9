"""Estimators for lists: the value of a list is the sum of the rewards at its places. Pure.

Each assumes something else of how a list is read, and pays for it with variance:

    standard            the reward at a place depends on the whole list: the weight of the list
    reward_interaction  it depends on the item and on those above: the weight of the list down to this place
    cascade_doubly_robust  as `reward_interaction`, with a reward model that takes up much of the variance
    independent         it depends on the item and the place alone: the weight of the item at this place

The first, second and fourth are SIPS, RIPS and IIPS of J. McInerney et al., "Counterfactual evaluation of slate
recommendations with sequential reward interactions" (KDD 2020); the fourth is the item-position model of S. Li et al.,
"Offline evaluation of ranking policies with click models" (KDD 2018). The third is H. Kiyohara et al., "Doubly robust
off-policy evaluation for ranking policies under the cascade behavior model" (WSDM 2022).

`chances` and `propensities` are float64 [L, K]: the probability of the item at each place given those above it, so that
their product is the list's. `independent` alone takes the marginal probabilities of each item at its place. Given
sequential ones, it answers another question: what lists would earn if the target filled one place and the logging
policy the places above it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.off_policy.terms import Floats, Ints, Terms, mean_of
from inference.off_policy.weights import products, ratios


@dataclass(frozen=True, eq=False)
class Lists:
    """L logged lists of at most K places: `users` int64 [L], `rewards` and `propensities` float64 [L, K], above 0, and
    `filled` bool [L, K]. A place that is not filled has reward 0 and propensity 1; targets give it the chance 1."""

    users: Ints
    rewards: Floats
    propensities: Floats
    filled: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shapes = {self.rewards.shape, self.propensities.shape, self.filled.shape}
        if len(shapes) > 1 or self.rewards.ndim != 2 or len(self.rewards) != len(self.users):
            raise ValueError(f"lists of {len(self.users)} users have arrays of the shapes {sorted(shapes)}")
        if not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise ValueError("propensities must be above 0 and at most 1: a choice was made with some probability")
        if not np.isfinite(self.rewards).all():
            raise ValueError("rewards must be finite")
        if (~self.filled & ((self.rewards != 0) | (self.propensities != 1))).any():
            raise ValueError("a place that is not filled has reward 0 and propensity 1")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def earned(self) -> Floats:
        """The reward of each list, [L]: the mean is the value of the logging policy."""
        return np.asarray(self.rewards.sum(1), np.float64)


def standard(of: Lists, chances: Floats, clip: float = math.inf, *, normalized: bool = False) -> Terms:
    """The whole list's weight for all its rewards. `normalized` divides by the mean weight."""
    weights = np.minimum(products(ratios(chances, of.propensities))[:, -1], clip)
    earned = weights * of.earned
    return Terms(earned[:, None], weights[:, None]) if normalized else mean_of(earned)


def independent(of: Lists, chances: Floats, clip: float = math.inf, *, normalized: bool = False) -> Terms:
    """Each place's own weight. `of.propensities` and `chances` are marginal; see above."""
    return _by_place(of, np.minimum(ratios(chances, of.propensities), clip), normalized)


def reward_interaction(of: Lists, chances: Floats, clip: float = math.inf, *, normalized: bool = False) -> Terms:
    """Each place's weight down to it. `normalized` divides by the mean weight of each place."""
    return _by_place(of, np.minimum(products(ratios(chances, of.propensities)), clip), normalized)


def cascade_doubly_robust(of: Lists, chances: Floats, taken: Floats, expected: Floats, clip: float = math.inf) -> Terms:
    """`taken` [L, K]: the modeled reward from each place down, given the list down to it; `expected` [L, K]: its mean
    over what the target would place there, given the items above. Unbiased whatever the model says."""
    weights = np.minimum(products(ratios(chances, of.propensities)), clip)
    above = np.concatenate((np.ones((len(weights), 1)), weights[:, :-1]), axis=1)
    return mean_of((weights * (of.rewards - taken) + above * expected).sum(1))


def _by_place(of: Lists, weights: Floats, normalized: bool) -> Terms:
    earned = weights * of.rewards
    return Terms(earned, weights) if normalized else mean_of(earned.sum(1))
