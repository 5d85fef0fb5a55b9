"""What logs cannot tell about a policy. Pure."""

from typing import NamedTuple

import numpy as np

from inference.off_policy.terms import Floats
from inference.off_policy.weights import effective_sample

ERRORS = 3.0
"""A mean weight is off if it is this many standard errors beyond the tolerance."""


class Needs(NamedTuple):
    """Below `effective` rows, or `rewarded` ones, logs do not decide; nor if the mean weight, which is 1 where the
    target chooses only what could have been logged, is clearly off by more than `support`."""

    effective: int = 100
    rewarded: int = 20
    support: float = 0.1


class Overlap(NamedTuple):
    """How far logs cover a target's choices: Kish's effective sample, the mean weight before clipping (`support`) with
    its standard error, the share of weights that are clipped, and the number of rewarded rows."""

    effective: float
    support: float
    error: float
    clipped: float
    rewarded: int

    @classmethod
    def of(cls, weights: Floats, rewards: Floats, clip: float) -> "Overlap":
        """Of n rows: `weights` before clipping."""
        count = len(weights)
        if not count:
            return cls(0.0, 0.0, 0.0, 0.0, 0)
        return cls(
            effective=effective_sample(np.minimum(weights, clip)),
            support=float(weights.mean()),
            error=float(weights.std() / np.sqrt(count)),
            clipped=float((weights > clip).mean()),
            rewarded=int((rewards != 0).sum()),
        )


def doubts(overlap: Overlap, certain: float, needs: Needs) -> list[str]:
    """Why the logs cannot tell the value of a target; empty if they can. `certain`: the share of places that were
    filled with the probability 1."""
    found = []
    if certain == 1:
        return ["no choice was random: what other policies would earn cannot be known from these logs"]
    if overlap.effective < needs.effective:
        found.append(f"effective sample {overlap.effective:.0f}, at least {needs.effective} are needed")
    if overlap.rewarded < needs.rewarded:
        found.append(f"{overlap.rewarded} rows with a reward, at least {needs.rewarded} are needed")
    if overlap.support + ERRORS * overlap.error < 1.0 - needs.support:
        found.append(
            f"the logs cover {overlap.support:.0%} of the target's choices: some of what it shows was never shown"
        )
    if overlap.support - ERRORS * overlap.error > 1.0 + needs.support:
        found.append(f"the mean weight is {overlap.support:.2f}, not 1: the logged propensities are too low")
    return found
