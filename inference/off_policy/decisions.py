"""Estimators for single decisions: one item, chosen with a known probability, and its reward. Pure.

All return `Terms` of n decisions; `chances` [n] are the target policy's probabilities of the logged choices.

    ips             D. Horvitz and D. Thompson (JASA 1952); A. Strehl et al., "Learning from logged implicit exploration
                    data" (NIPS 2010). Unbiased if the target chooses nothing that the logging policy never would.
    ips, clipped    L. Bottou et al., "Counterfactual reasoning and learning systems" (JMLR 2013). Less variance; too
                    low where rewards are positive.
    snips           A. Swaminathan and T. Joachims, "The self-normalized estimator for counterfactual learning" (NIPS
                    2015). Consistent, within the range of the rewards, and the same after adding a constant to them.
    direct_method   A. Beygelzimer and J. Langford, "The offset tree for learning with partial labels" (KDD 2009). As
                    good as the reward model.
    doubly_robust   M. Dudík et al., "Doubly robust policy evaluation and optimization" (Statistical Science 2014).
                    Unbiased as IPS is, with less variance the better the reward model is.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inference.off_policy.terms import Floats, Ints, Terms, mean_of
from inference.off_policy.weights import ratios


@dataclass(frozen=True, eq=False)
class Decisions:
    """D logged decisions: items that were chosen at random. Each `users` int64 [D], `rewards` float64 [D], and
    `propensities` float64 [D], above 0: the probability of that choice when it was made."""

    users: Ints
    rewards: Floats
    propensities: Floats

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.rewards) == len(self.propensities):
            raise ValueError("users, rewards and propensities of decisions must have one length")
        if len(self.propensities) and not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise ValueError("propensities must be above 0 and at most 1: a choice was made with some probability")

    def __len__(self) -> int:
        return len(self.users)


NO_DECISIONS = Decisions(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


class Modeled(NamedTuple):
    """What a reward model says: the reward of the logged choice, and the mean over the target's choices, each [n]."""

    taken: Floats
    expected: Floats


def ips(of: Decisions, chances: Floats, clip: float = math.inf) -> Terms:
    """Inverse propensity scoring; with `clip`, no weight is above it."""
    return mean_of(np.minimum(ratios(chances, of.propensities), clip) * of.rewards)


def snips(of: Decisions, chances: Floats, clip: float = math.inf) -> Terms:
    """Self-normalized inverse propensity scoring."""
    weights = np.minimum(ratios(chances, of.propensities), clip)
    return Terms((weights * of.rewards)[:, None], weights[:, None])


def direct_method(modeled: Modeled) -> Terms:
    """The reward model alone."""
    return mean_of(modeled.expected)


def doubly_robust(of: Decisions, chances: Floats, modeled: Modeled, clip: float = math.inf) -> Terms:
    """The reward model, corrected by the weighted errors that it makes on the log."""
    weights = np.minimum(ratios(chances, of.propensities), clip)
    return mean_of(modeled.expected + weights * (of.rewards - modeled.taken))
