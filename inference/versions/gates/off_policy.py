"""Off-policy value: what the versions' choices would have earned, estimated from logged lists that explored. Pure.

A place of a list that was filled at random, with a known probability given the items above it, says what another policy
would have earned at this place if those above stayed. Places that were certain say nothing of other policies and are
left out.

A version's policy is the softmax of its logits over the items that the user has not met and the list does not have
above. Its value is estimated by self-normalized importance weights, clipped (`inference.off_policy.decisions`). The
mean weight estimates which share of the version's choices the logging policy could make at all: below `support`, the
estimate would be about other ones.
"""

import math
from typing import NamedTuple

import numpy as np

from inference.off_policy.decisions import Decisions, ips, snips
from inference.off_policy.diagnosis import Overlap
from inference.off_policy.intervals import bootstrap
from inference.off_policy.terms import Floats
from inference.off_policy.weights import ratios
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Trial
from inference.versions.store import Gate

NAME = "off-policy value"


class Value(NamedTuple):
    """The estimated mean reward of a decision: self-normalized (`snips`) and not (`ips`). `effective` is the effective
    sample, `support` the mean weight before clipping, `clipped` the share of weights that were clipped."""

    snips: float
    ips: float
    effective: float
    support: float
    clipped: float


def value(chances: Floats, decisions: Decisions, clip: float) -> Value:
    """The value of the policy that would have taken each decision with the probability `chances` [D]."""
    overlap = Overlap.of(ratios(chances, decisions.propensities), decisions.rewards, clip)
    normalized = snips(decisions, chances, clip).value
    if math.isnan(normalized):
        return Value(0.0, 0.0, 0.0, 0.0, 0.0)
    return Value(
        snips=normalized,
        ips=ips(decisions, chances, clip).value,
        effective=overlap.effective,
        support=overlap.support,
        clipped=overlap.clipped,
    )


def off_policy(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> Gate:
    """Fails if the interval of the difference lies below 0. Passes undecided if the logs explored too little."""
    decisions, clip = trial.decisions, thresholds.clip
    both = trial.challenger.chances, trial.champion.chances
    if not all(np.isfinite(chances).all() for chances in both) or not np.isfinite(decisions.rewards).all():
        return Gate(
            name=NAME, figure=0.0, threshold=0.0, passed=False, text="Some probabilities or rewards are not finite."
        )
    if why := too_few(decisions, thresholds):
        return _not_decided(f"{len(decisions):,} decisions", why)
    ours, theirs = (value(chances, decisions, clip) for chances in both)
    effective, support = min(ours.effective, theirs.effective), min(ours.support, theirs.support)
    rewarded = int((decisions.rewards != 0).sum())
    if why := _undecided(effective, support, thresholds):
        return _not_decided(f"effective sample {effective:.0f} of {len(decisions):,} decisions", why)
    low, high = difference(*both, decisions, clip, rng)
    figure = ours.snips - theirs.snips
    passed = high is None or high >= 0
    said = (
        f"{ours.snips:.4f} a decision, champion {theirs.snips:.4f} (unnormalized {ours.ips:.4f} and {theirs.ips:.4f}); "
        f"{len(decisions):,} decisions, effective sample {effective:.0f}, {rewarded:,} rewarded, "
        f"support {support:.0%}, {ours.clipped:.1%} of weights clipped"
    )
    return Gate(
        name=NAME,
        figure=figure,
        low=low,
        high=high,
        threshold=0.0,
        passed=passed,
        text=f"{said}." if passed else f"{said}. Train on feedback of lists as well (`--feedback`).",
    )


def difference(
    ours: Floats, theirs: Floats, decisions: Decisions, clip: float, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """The bootstrap interval, over users, of the difference between two policies' self-normalized values."""
    terms = [snips(decisions, chances, clip) for chances in (theirs, ours)]
    return bootstrap(terms, decisions.users, rng).differences[1]


def too_few(decisions: Decisions, thresholds: Thresholds) -> str:
    """Why these decisions cannot decide, whatever versions would have chosen; empty if they may. Then the versions need
    not be asked: the effective sample is never above the number of decisions."""
    if len(decisions) < thresholds.effective:
        return f"at least {thresholds.effective} are needed"
    rewarded = int((decisions.rewards != 0).sum())
    if rewarded < thresholds.rewarded:
        return f"{rewarded} decisions were rewarded, at least {thresholds.rewarded} are needed"
    return ""


def _not_decided(of: str, why: str) -> Gate:
    return Gate(
        name=NAME,
        figure=0.0,
        threshold=0.0,
        passed=True,
        text=f"Warning, not decided ({of}): {why}. Raise the exploration of lists, or log longer.",
    )


def _undecided(effective: float, support: float, thresholds: Thresholds) -> str:
    if effective < thresholds.effective:
        return f"at least {thresholds.effective} are needed"
    if support < thresholds.support:
        return f"logged choices cover {support:.1%} of a version's choices, not {thresholds.support:.0%}"
    return ""
