"""Popularity as a policy on a log of decisions without histories. Pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from deploy.off_policy.decision_log import DecisionLog, Scored

NAME = "popularity"


def popularity(log: DecisionLog, temperature: float) -> Iterator[Mapping[str, Scored]]:
    """For each list, all items of the log, scored by the logarithm of 1 plus the rewards above 0 that earlier lists had
    for them. Later lists do not count: a policy must not know the rewards that it is judged by."""
    earned = np.zeros(len(log.names))
    every = np.arange(len(log.names))
    for items, rewards in zip(log.items, log.lists.rewards, strict=True):
        yield {NAME: Scored(every, np.log1p(earned) / temperature)}
        liked = (items >= 0) & (rewards > 0)
        np.add.at(earned, items[liked], rewards[liked])
