"""Worlds so small that every list can be enumerated: contexts, a few items, and lists of three of them.

`logged` and `target` are Plackett-Luce policies of separate scores. The reward at a place is 1 with a probability that
depends on the context, the item and the place, and, with `interaction`, on the item above.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from inference.off_policy.comparison import Target
from inference.off_policy.lists import Lists
from inference.off_policy.rewards import RewardModel, fit
from inference.off_policy.terms import Floats, Ints

CONTEXTS, ITEMS = 3, 6


@dataclass(frozen=True)
class SmallWorld:
    """`places` of a list; `apart`: how far the target's scores are from the logged ones."""

    places: int = 3
    interaction: float = 0.5
    apart: float = 0.6
    seed: int = 0

    @cached_property
    def lists(self) -> Ints:
        """Every list, [V, places]."""
        return np.array(list(permutations(range(ITEMS), self.places)), np.int64)

    @cached_property
    def scores(self) -> tuple[Floats, Floats]:
        """Of the logging policy and the target, [CONTEXTS, ITEMS] each."""
        rng = np.random.default_rng((self.seed, 1))
        logged = rng.normal(0, 0.7, (CONTEXTS, ITEMS))
        return logged, logged + self.apart * rng.normal(size=logged.shape)

    @cached_property
    def odds(self) -> Floats:
        """The probability of a reward at each place of every list, [CONTEXTS, V, places]."""
        rng = np.random.default_rng((self.seed, 2))
        tastes = rng.uniform(0.05, 0.6, (CONTEXTS, ITEMS))
        found = tastes[:, self.lists] * 0.8 ** np.arange(self.places)
        pairs = rng.uniform(-1, 1, (ITEMS, ITEMS))
        above = pairs[self.lists[:, :-1], self.lists[:, 1:]]
        found[:, :, 1:] *= 1 + self.interaction * above
        return np.asarray(found.clip(0, 1), np.float64)

    @cached_property
    def distributions(self) -> tuple[Floats, Floats]:
        """The probability of each item at each place given those above, [CONTEXTS, V, places, ITEMS], of both."""
        return self._distribution(self.scores[0]), self._distribution(self.scores[1])

    def _distribution(self, scores: Floats) -> Floats:
        found = np.zeros((CONTEXTS, len(self.lists), self.places, ITEMS))
        for at in range(self.places):
            left = np.ones((len(self.lists), ITEMS))
            for above in range(at):
                left[np.arange(len(self.lists)), self.lists[:, above]] = 0
            weights = np.exp(scores)[:, None] * left[None]
            found[:, :, at] = weights / weights.sum(2, keepdims=True)
        return found

    @cached_property
    def chances(self) -> tuple[Floats, Floats]:
        """Of each place of every list given those above, [CONTEXTS, V, places], of both policies."""
        chosen = self.lists[None, :, :, None]
        logged, target = (np.take_along_axis(each, chosen, 3)[..., 0] for each in self.distributions)
        return logged, target

    @cached_property
    def marginals(self) -> tuple[Floats, Floats]:
        """The probability of each item at each place, [CONTEXTS, places, ITEMS], of both policies."""
        return self._marginal(self.chances[0]), self._marginal(self.chances[1])

    def _marginal(self, chances: Floats) -> Floats:
        whole, found = chances.prod(2), np.zeros((CONTEXTS, self.places, ITEMS))
        for at in range(self.places):
            for item in range(ITEMS):
                found[:, at, item] = whole[:, self.lists[:, at] == item].sum(1)
        return found

    @property
    def truth(self) -> float:
        """The target's value."""
        return float((self.chances[1].prod(2) * self.odds.sum(2)).sum(1).mean())

    @property
    def on_policy(self) -> float:
        return float((self.chances[0].prod(2) * self.odds.sum(2)).sum(1).mean())

    def draw(self, count: int, rng: np.random.Generator, users: int | None = None) -> "Drawn":
        """Logged lists of users who see about as many each; one each by default."""
        contexts = rng.integers(0, CONTEXTS, count)
        whole = self.chances[0].prod(2).cumsum(1)
        which = (rng.random(count)[:, None] * whole[contexts, -1:] > whole[contexts]).sum(1)
        rewards = (rng.random((count, self.places)) < self.odds[contexts, which]).astype(np.float64)
        owners = np.arange(count) if users is None else rng.integers(0, users, count)
        return Drawn(self, contexts, which, rewards, owners)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Logged lists of a world: each one's context, which list it is, its rewards, and who saw it."""

    world: SmallWorld
    contexts: Ints
    which: Ints
    rewards: Floats
    owners: Ints

    @property
    def items(self) -> Ints:
        return self.world.lists[self.which]

    @property
    def logged(self) -> Lists:
        chances = self.world.chances[0][self.contexts, self.which]
        return Lists(self.owners, self.rewards, chances, np.ones(self.rewards.shape, np.bool_))

    @property
    def chances(self) -> Floats:
        return self.world.chances[1][self.contexts, self.which]

    def marginal(self) -> tuple[Lists, Floats]:
        """The same lists with marginal propensities, and the target's marginal chances."""
        at = np.arange(self.world.places)[None]
        propensities, chances = (each[self.contexts[:, None], at, self.items] for each in self.world.marginals)
        return Lists(self.owners, self.rewards, propensities, np.ones(self.rewards.shape, np.bool_)), chances

    def modeled(self, rng: np.random.Generator) -> tuple[RewardModel, Target]:
        """A reward model of these lists, and the target with what it expects."""
        model = fit(self.logged, self.items, ITEMS, rng)
        dist = self.world.distributions[1][self.contexts, self.which]
        added = np.einsum("lki,li->lk", dist, model.items[model.folds])
        return model, Target(self.chances, added)
