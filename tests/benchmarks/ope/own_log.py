"""Estimates from a training log beside the replayed value: what the targets' lists would have earned.

That is known where users do what they do whatever they are shown, as in a replay or `ouzel loop`: the reward of any
item in a list is that of the user's newest reaction to it between this list and their next one, within the window. The
log's own rewards, which also count what came after the next list, are replaced by these, for both values.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from deploy.off_policy.decision_log import Scored
from deploy.off_policy.replayed import replayed
from deploy.off_policy.run import NAMED, Targets, compare_log
from deploy.off_policy.training_log import Logged, with_rewards
from inference.off_policy.comparison import LOGGED, Options
from inference.off_policy.plackett_luce import draw
from inference.off_policy.terms import Floats
from schemas.actions import ITEM_KINDS, reward

DRAWS = 32


class Row(NamedTuple):
    policy: str
    estimator: str
    replayed: float
    estimate: float
    low: float | None
    high: float | None
    effective: float
    says: str

    @property
    def agrees(self) -> bool:
        return self.low is not None and self.high is not None and self.low <= self.replayed <= self.high


def rewards_of(of: Logged, window_ms: int) -> list[Mapping[int, float]]:
    """The reward of each item in each list, by number; 0 for others."""
    numbers = {name: number for number, name in enumerate(of.log.names)}
    begins: dict[str, list[tuple[int, int]]] = {}
    for row, one in enumerate(of.lists):
        begins.setdefault(one.user, []).append((one.published, row))
    ends = [one.published + window_ms for one in of.lists]
    for each in begins.values():
        for (_, row), (following, _) in pairwise(each):
            ends[row] = min(ends[row], following)
    found: list[dict[int, float]] = [{} for _ in of.lists]
    at = dict.fromkeys(begins, 0)
    for event in of.events:
        if event.user not in begins or event.kind not in ITEM_KINDS or event.item not in numbers:
            continue
        mine = begins[event.user]
        while at[event.user] + 1 < len(mine) and mine[at[event.user] + 1][0] <= event.ts:
            at[event.user] += 1
        published, row = mine[at[event.user]]
        if published <= event.ts <= ends[row]:
            found[row][numbers[event.item]] = reward(event.kind, event.value)
    return list(found)


def logged_rewards(of: Logged, rewards: Sequence[Mapping[int, float]]) -> Floats:
    """The same for the items that were logged, [L, K]."""
    return np.array(
        [[each.get(item, 0.0) for item in row] for each, row in zip(rewards, of.log.items.tolist(), strict=True)]
    )


def replayed_value(scored: Scored, rewards: Mapping[int, float], places: int, rng: np.random.Generator) -> float:
    """The mean reward of drawn lists."""
    worth = np.array([rewards.get(number, 0.0) for number in scored.numbers.tolist()])
    if not worth.any():
        return 0.0
    return float(np.mean([worth[draw(scored.scores, rng, places)].sum() for _ in range(DRAWS)]))


def checked(of: Logged, window_ms: int, temperature: float, seed: int) -> tuple[list[Row], float]:
    """A row for each estimate of each policy, and the share of logged places whose own reward is the replayed one."""
    every = rewards_of(of, window_ms)
    own = logged_rewards(of, every)
    same = float((own == of.log.lists.rewards)[of.log.lists.filled].mean())
    given = with_rewards(of, own)
    rng = np.random.default_rng(seed)
    sums = dict.fromkeys(NAMED, 0.0)
    for scored, rewards in zip(replayed(of.lists, of.events, of.items, temperature), every, strict=True):
        for name, each in scored.items():
            sums[name] += replayed_value(each, rewards, of.log.items.shape[1], rng)
    found = compare_log(given, Targets(NAMED, temperature=temperature), Options(), seed)
    says = {each.policy: each.says for each in found.verdicts}
    rows = [
        Row(
            each.policy, each.estimator, sums[each.policy] / len(of.lists), each.value, each.low, each.high,
            each.overlap.effective if each.overlap is not None else 0.0, says[each.policy],
        )
        for each in found.estimates
        if each.policy != LOGGED
    ]  # fmt: skip
    return rows, same
