"""The off-policy value on logs of a simulated policy, where the true value is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.off_policy.decisions import NO_DECISIONS, Decisions
from inference.off_policy.terms import Floats
from inference.versions.gates.judge import DEFAULT
from inference.versions.gates.off_policy import difference, off_policy, too_few, value
from tests.support import trials

TASTE = 20.0


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def policies(of: trials.World) -> tuple[Floats, Floats]:
    """A policy that knows the chances of a like, and a uniform one, [D, POOL] each."""
    good = np.exp(TASTE * of.odds)
    return good / good.sum(1, keepdims=True), np.full_like(of.odds, 1 / trials.POOL)


def test_values_are_the_true_ones() -> None:
    """The mean error over ten logs is near 0, far below what each policy's value differs from the other's."""
    errors = np.zeros((10, 2, 2))
    for seed in range(10):
        of = trials.world(decisions=10_000, seed=seed)
        for at, policy in enumerate(policies(of)):
            truth = float((policy * of.odds).sum(1).mean())
            found = value(policy[np.arange(len(policy)), of.chosen], of.decisions, clip=1e6)
            assert found.support == pytest.approx(1.0, abs=0.1)
            errors[seed, at] = found.snips - truth, found.ips - truth
    assert np.abs(errors.mean(0)).max() < 0.02, errors.mean(0)


def test_interval_covers_the_true_difference() -> None:
    """Of 100 logs, at least 90 intervals contain it, and nearly all say which policy is better."""
    inside = above = 0
    for seed in range(100):
        of = trials.world(decisions=3_000, seed=seed)
        good, uniform = policies(of)
        rows = np.arange(len(good))
        truth = float(((good - uniform) * of.odds).sum(1).mean())
        low, high = difference(good[rows, of.chosen], uniform[rows, of.chosen], of.decisions, DEFAULT.clip, rng(seed))
        assert low is not None
        assert high is not None
        inside += low <= truth <= high
        above += low > 0
    assert inside >= 90
    assert above >= 90


def test_worse_policy_fails_and_the_better_one_passes() -> None:
    of = trials.world(decisions=5_000, seed=1)
    rows = np.arange(len(of.odds))
    good, uniform = (policy[rows, of.chosen] for policy in policies(of))
    trial = trials.same(1, decisions=5_000)
    better, worse = (
        replace(
            trial,
            champion=replace(trial.champion, chances=one),
            challenger=replace(trial.challenger, chances=other),
            decisions=of.decisions,
        )
        for one, other in ((uniform, good), (good, uniform))
    )
    assert off_policy(better, DEFAULT, rng()).passed
    gate = off_policy(worse, DEFAULT, rng())
    assert not gate.passed
    assert gate.high is not None
    assert gate.high < 0


def unlikely(count: int) -> Decisions:
    """One of the choices was so unlikely that it alone has weight."""
    propensities = np.full(count, 1.0)
    propensities[0] = 1e-6
    return Decisions(np.arange(count), np.ones(count), propensities)


def test_decisions_that_are_too_few_need_no_probabilities() -> None:
    trial = trials.same(0, decisions=50)
    none = replace(trial.champion, chances=np.zeros(0))
    assert off_policy(replace(trial, champion=none, challenger=none), DEFAULT, rng()) == off_policy(
        trial, DEFAULT, rng()
    )
    assert too_few(trial.decisions, DEFAULT)
    assert too_few(trials.same(0).decisions, DEFAULT) == ""


@pytest.mark.parametrize(
    ("why", "trial"),
    [
        ("(0 decisions): at least 100", trials.same(0, decisions=0)),
        ("(50 decisions): at least 100", trials.same(0, decisions=50)),
        ("effective sample", replace(trials.same(0, decisions=120), decisions=unlikely(120))),
        (
            "were rewarded",
            replace(trials.same(0), decisions=replace(trials.same(0).decisions, rewards=np.zeros(2_000))),
        ),
        ("logged choices cover", trials.same(0)),
    ],
    ids=["none", "few", "unlikely", "no-reward", "no-overlap"],
)
def test_logs_that_cannot_decide_pass_with_a_warning(why: str, trial) -> None:
    if why == "logged choices cover":
        elsewhere = replace(trial.champion, chances=trial.champion.chances * 0.05)
        trial = replace(trial, champion=elsewhere, challenger=elsewhere)
    gate = off_policy(trial, DEFAULT, rng())
    assert gate.passed
    assert gate.text.startswith("Warning, not decided")
    assert why in gate.text
    assert (gate.low, gate.high) == (None, None)


def test_certain_choices_say_little_of_others() -> None:
    """With 2% exploration, the effective sample is a small part of the log."""
    of = trials.world(decisions=2_000, exploration=0.02)
    good, _ = policies(of)
    found = value(good[np.arange(2_000), of.chosen], of.decisions, clip=1e6)
    assert found.effective < 100


@given(
    # Products of subnormal chances round to several times what they should be.
    st.lists(
        st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(-1, 1), st.floats(1e-6, 1)),
        min_size=1,
        max_size=30,
    ),
    st.floats(1, 1e4),
)
def test_value_is_within_the_rewards(rows: list[tuple[float, float, float]], clip: float) -> None:
    chances, rewards, propensities = (np.array(column) for column in zip(*rows, strict=True))
    found = value(chances, Decisions(np.arange(len(rows)), rewards, propensities), clip)
    assert min(rewards.min(), 0) - 1e-9 <= found.snips <= max(rewards.max(), 0) + 1e-9
    assert 0 <= found.effective <= len(rows) * (1 + 1e-9)
    assert 0 <= found.clipped <= 1
    assert all(map(math.isfinite, found))


def test_numbers_that_are_not_finite_fail() -> None:
    good = trials.same(0)
    chances = good.challenger.chances.copy()
    chances[7] = np.nan
    assert not off_policy(replace(good, challenger=replace(good.challenger, chances=chances)), DEFAULT, rng()).passed


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.nan])
def test_impossible_propensities_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="propensities"):
        Decisions(np.zeros(1, np.int64), np.zeros(1), np.array([wrong]))
    assert len(NO_DECISIONS) == 0
