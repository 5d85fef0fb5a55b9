"""A reward model for direct and doubly robust estimates: the mean of each place, plus what each item adds. Pure.

An item adds the mean of its rewards beyond those of its places, shrunk towards 0 as if it had been shown `PRIOR` times
more with the mean reward. Each list is modeled by what other users did (cross-fitting: V. Chernozhukov et al.,
"Double/debiased machine learning", Econometrics Journal 2018), so that no estimate is corrected by its own noise.
"""

from dataclasses import dataclass

import numpy as np

from inference.off_policy.lists import Lists
from inference.off_policy.terms import Floats, Ints

FOLDS = 5
PRIOR = 20.0


@dataclass(frozen=True, eq=False)
class RewardModel:
    """`folds` int64 [L]: the part that each list is in. `places` float64 [F, K] and `items` float64 [F, n]: the mean
    reward of each place, and what each item adds, as known from the other parts."""

    folds: Ints
    places: Floats
    items: Floats

    def taken(self, items: Ints) -> Floats:
        """The modeled reward of logged items [L, K]; of items below 0, 0."""
        added = self.items[self.folds[:, None], np.maximum(items, 0)]
        return np.where(items >= 0, self.places[self.folds] + added, 0.0)

    def expected(self, added: Floats, items: Ints) -> Floats:
        """The mean modeled reward at each place [L, K], from the mean of what the target's items add."""
        return np.where(items >= 0, self.places[self.folds] + added, 0.0)


def fit(lists: Lists, items: Ints, count: int, rng: np.random.Generator) -> RewardModel:
    """Of logged lists with `items` int64 [L, K], from 0 to `count`; below 0 where a place is not filled."""
    people, of = np.unique(lists.users, return_inverse=True)
    folds = rng.permutation(np.arange(len(people)) % FOLDS)[of]
    places, added = np.zeros((FOLDS, items.shape[1])), np.zeros((FOLDS, count))
    for fold in range(FOLDS):
        others = folds != fold
        shown, rewards = items[others], lists.rewards[others]
        inside = shown >= 0
        places[fold] = rewards.sum(0) / np.maximum(inside.sum(0), 1)
        beyond = (rewards - places[fold])[inside]
        sums = np.bincount(shown[inside], beyond, minlength=count)
        added[fold] = sums / (np.bincount(shown[inside], minlength=count) + PRIOR)
    return RewardModel(folds.astype(np.int64), places, added)


def from_here_down(taken: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """Modeled rewards [L, K] of each place, plus those expected below it, for `cascade_doubly_robust`.

    What is expected below is the mean over the other lists: it depends on nothing that this list drew.
    """
    count = len(expected)
    if count < 2:
        return taken, expected
    below = np.cumsum(expected[:, ::-1], axis=1)[:, ::-1] - expected
    others = (below.sum(0) - below) / (count - 1)
    return taken + others, expected + others
