"""The estimators for single decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.off_policy.decisions import Decisions, Modeled, direct_method, doubly_robust, ips, snips
from inference.off_policy.weights import effective_sample, ratios

CHANCE = st.floats(0.01, 1)
ROWS = st.lists(st.tuples(CHANCE, CHANCE, st.floats(-1, 1)), min_size=1, max_size=20)
Rows = list[tuple[float, float, float]]


def of(rows: Rows) -> tuple[Decisions, np.ndarray]:
    propensities, chances, rewards = (np.array(column) for column in zip(*rows, strict=True))
    return Decisions(np.arange(len(rows)), rewards, propensities), chances


@given(st.lists(st.tuples(CHANCE, CHANCE, st.floats(-1, 1), st.floats(-5, 5)), min_size=2, max_size=6))
def test_expectations_over_all_actions_are_the_target_s_value(rows: list[tuple[float, ...]]) -> None:
    weights, others, rewards, said = (np.array(column) for column in zip(*rows, strict=True))
    logged, target = weights / weights.sum(), others / others.sum()
    truth = float(target @ rewards)
    every = Decisions(np.arange(len(rows)), rewards, logged)
    modeled = Modeled(said, np.full(len(rows), target @ said))
    assert float(logged @ ips(every, target).earned[:, 0]) == pytest.approx(truth, abs=1e-9)
    assert float(logged @ doubly_robust(every, target, modeled).earned[:, 0]) == pytest.approx(truth, abs=1e-9)
    exact = Modeled(rewards, np.full(len(rows), truth))
    assert direct_method(exact).value == pytest.approx(truth)


@given(ROWS)
def test_logged_policy_has_the_mean_reward(rows: Rows) -> None:
    decisions, said = of(rows)
    mean = pytest.approx(float(decisions.rewards.mean()), abs=1e-9)
    assert ips(decisions, decisions.propensities).value == mean
    assert snips(decisions, decisions.propensities).value == mean
    assert doubly_robust(decisions, decisions.propensities, Modeled(said, said)).value == mean


@given(ROWS, st.floats(1, 50))
def test_no_clipped_weight_is_above_the_bound(rows: Rows, clip: float) -> None:
    decisions, chances = of(rows)
    assert snips(decisions, chances, clip).shares.max() <= clip
    assert np.abs(ips(decisions, chances, clip).earned).max() <= clip * np.abs(decisions.rewards).max() + 1e-9
    nothing = Modeled(np.zeros(len(rows)), np.zeros(len(rows)))
    assert doubly_robust(decisions, chances, nothing, clip).value == ips(decisions, chances, clip).value


@given(ROWS, st.floats(-3, 3))
def test_snips_is_within_the_rewards_and_moves_with_them(rows: Rows, more: float) -> None:
    decisions, chances = of(rows)
    found = snips(decisions, chances).value
    assert decisions.rewards.min() - 1e-9 <= found <= decisions.rewards.max() + 1e-9
    moved = Decisions(decisions.users, decisions.rewards + more, decisions.propensities)
    assert snips(moved, chances).value == pytest.approx(found + more, abs=1e-9)


def test_target_that_was_never_logged_has_no_normalized_value() -> None:
    decisions, _ = of([(0.5, 0.5, 1.0)])
    assert np.isnan(snips(decisions, np.zeros(1)).value)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_effective_sample_is_at_most_the_sample(weights: list[float]) -> None:
    assert 0 <= effective_sample(np.array(weights)) <= len(weights) * (1 + 1e-9)
    assert effective_sample(np.full(7, 3.0)) == pytest.approx(7)


@pytest.mark.parametrize(("chances", "propensities"), [([1.5], [0.5]), ([np.nan], [0.5]), ([0.5], [0.0]), ([0.5], [2])])
def test_impossible_probabilities_are_refused(chances: list[float], propensities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"chances|propensities"):
        ratios(np.array(chances), np.array(propensities))
