"""A log of decisions with known probabilities, and what target policies would have done. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inference.off_policy.comparison import Target
from inference.off_policy.lists import Lists
from inference.off_policy.plackett_luce import OUTSIDE, walk
from inference.off_policy.rewards import RewardModel
from inference.off_policy.terms import Floats, Ints


@dataclass(frozen=True, eq=False)
class DecisionLog:
    """L lists of K places; a list of one place is a single decision.

    `items` int64 [L, K] are indices into `names`, below 0 where a place is not filled. `positions` int64 [L, K]: each
    place's position as the log numbers it. `keys`: the ids of the lists. `note` says what was read and left out.
    """

    lists: Lists
    items: Ints
    positions: Ints
    names: tuple[str, ...]
    keys: tuple[str, ...]
    note: str


class Scored(NamedTuple):
    """What a policy could choose for one list: the items' numbers int64 [n], ascending, and scores float64 [n]; the
    probabilities are the softmax of the scores."""

    numbers: Ints
    scores: Floats


def places_of(items: Ints, numbers: Ints) -> Ints:
    """The places of `items` [K] in the ascending `numbers` [n]; `OUTSIDE` for those that are not there."""
    if not len(numbers):
        return np.full(len(items), OUTSIDE, np.int64)
    at = np.minimum(np.searchsorted(numbers, items), len(numbers) - 1)
    return np.where(numbers[at] == items, at, OUTSIDE).astype(np.int64)


def walked(log: DecisionLog, model: RewardModel, scored: Iterable[Mapping[str, Scored]]) -> dict[str, Target]:
    """The targets that draw each place from their scores; `scored` has those of each list, in the order of the log."""
    shape = log.items.shape
    found: dict[str, tuple[Floats, Floats]] = {}
    for row, policies in enumerate(scored):
        filled = log.items[row] >= 0
        for name, (numbers, scores) in policies.items():
            chances, added = found.setdefault(name, (np.ones(shape), np.zeros(shape)))
            items = log.items[row, filled]
            values = model.items[model.folds[row], numbers]
            chances[row, filled], added[row, filled] = walk(scores, places_of(items, numbers), values)
    return {name: Target(chances, added) for name, (chances, added) in found.items()}
