"""The list estimators on worlds whose every list can be enumerated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.off_policy.lists import (
    Lists,
    cascade_doubly_robust,
    independent,
    reward_interaction,
    standard,
)
from inference.off_policy.rewards import from_here_down
from inference.off_policy.terms import Floats, Terms
from tests.support.small_lists import CONTEXTS, ITEMS, SmallWorld

RATIOS = st.floats(0, 1)


def every(world: SmallWorld) -> tuple[Lists, Floats, Floats]:
    """Every list in every context with its expected rewards, the target's chances, and each one's probability."""
    logged, target = (each.reshape(-1, world.places) for each in world.chances)
    rewards = world.odds.reshape(logged.shape)
    lists = Lists(np.arange(len(logged)), rewards, logged, np.ones(logged.shape, np.bool_))
    return lists, target, logged.prod(1) / CONTEXTS


def mean(terms: Terms, chance: Floats) -> float:
    """The expectation of a plain estimate over all logs."""
    return float((terms.earned.sum(1) * chance).sum())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1_000), st.floats(0, 1), st.floats(0, 2))
def test_expectations_over_all_lists_are_the_target_s_value(seed: int, interaction: float, apart: float) -> None:
    world = SmallWorld(interaction=interaction, apart=apart, seed=seed)
    lists, chances, chance = every(world)
    assert mean(standard(lists, chances), chance) == pytest.approx(world.truth)
    assert mean(reward_interaction(lists, chances), chance) == pytest.approx(world.truth)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1_000), st.floats(0, 1))
def test_cascade_doubly_robust_is_unbiased_whatever_the_model_says(seed: int, interaction: float) -> None:
    world = SmallWorld(interaction=interaction, seed=seed)
    lists, chances, chance = every(world)
    wrong = np.random.default_rng(seed).normal(size=(CONTEXTS, world.places, ITEMS))
    said = np.broadcast_to(wrong[:, None], (CONTEXTS, len(world.lists), world.places, ITEMS))
    taken = np.take_along_axis(said, world.lists[None, :, :, None], 3)[..., 0].reshape(lists.rewards.shape)
    expected = (world.distributions[1] * said).sum(3).reshape(lists.rewards.shape)
    assert mean(cascade_doubly_robust(lists, chances, taken, expected), chance) == pytest.approx(world.truth)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1_000))
def test_marginal_weights_are_unbiased_if_rewards_depend_on_item_and_place_alone(seed: int) -> None:
    world = SmallWorld(interaction=0.0, seed=seed)
    lists, _, chance = every(world)
    at = np.arange(world.places)[None, None]
    logged, target = (
        each[np.arange(CONTEXTS)[:, None, None], at, world.lists[None]].reshape(-1, world.places)
        for each in world.marginals
    )
    marginal = Lists(lists.users, lists.rewards, logged, lists.filled)
    assert mean(independent(marginal, target), chance) == pytest.approx(world.truth)


@given(st.integers(0, 1_000), st.integers(2, 40))
def test_logged_policy_has_the_mean_reward(seed: int, count: int) -> None:
    drawn = SmallWorld(seed=seed).draw(count, np.random.default_rng(seed))
    lists = drawn.logged
    own, value = lists.propensities, pytest.approx(float(lists.earned.mean()))
    for normalized in (False, True):
        assert standard(lists, own, normalized=normalized).value == value
        assert independent(lists, own, normalized=normalized).value == value
        assert reward_interaction(lists, own, normalized=normalized).value == value
    guess = np.random.default_rng(seed).normal(size=lists.rewards.shape)
    assert cascade_doubly_robust(lists, own, guess, guess).value == value


@given(arrays(np.float64, (5, 4), elements=st.floats(1e-3, 1)), arrays(np.float64, (5, 4), elements=st.floats(0, 1)),
       st.floats(1, 50))  # fmt: skip
def test_no_weight_is_above_the_bound(propensities: Floats, chances: Floats, clip: float) -> None:
    lists = Lists(np.arange(5), np.ones((5, 4)), propensities, np.ones((5, 4), np.bool_))
    for estimate in (standard, independent, reward_interaction):
        shares = estimate(lists, chances, clip, normalized=True).shares
        assert shares.max() <= clip
        assert np.isfinite(estimate(lists, chances).earned).all()
    assert standard(lists, chances, clip).earned.max() <= 4 * clip


def test_products_of_large_weights_stay_finite() -> None:
    shape = (3, 100)
    lists = Lists(np.arange(3), np.zeros(shape), np.full(shape, 1e-9), np.ones(shape, np.bool_))
    assert np.isfinite(reward_interaction(lists, np.ones(shape)).earned).all()


def test_places_that_are_not_filled_earn_nothing() -> None:
    whole = SmallWorld().draw(50, np.random.default_rng(0))
    lists, chances = whole.logged, whole.chances
    padded = Lists(
        lists.users,
        np.pad(lists.rewards, ((0, 0), (0, 2))),
        np.pad(lists.propensities, ((0, 0), (0, 2)), constant_values=1.0),
        np.pad(lists.filled, ((0, 0), (0, 2))),
    )
    more = np.pad(chances, ((0, 0), (0, 2)), constant_values=1.0)
    for estimate in (standard, independent, reward_interaction):
        assert estimate(padded, more).value == pytest.approx(estimate(lists, chances).value)


def test_expected_rewards_below_come_from_the_other_lists() -> None:
    taken, expected = np.zeros((2, 2)), np.array([[0.0, 1.0], [0.0, 3.0]])
    added, mean_ = from_here_down(taken, expected)
    assert added.tolist() == [[3.0, 0.0], [1.0, 0.0]]
    assert mean_.tolist() == [[3.0, 1.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"propensities": np.zeros((2, 2))}, "propensities"),
        ({"propensities": np.ones((2, 3))}, "shapes"),
        ({"rewards": np.full((2, 2), np.nan)}, "finite"),
        ({"filled": np.zeros((2, 2), np.bool_)}, "not filled"),
    ],
)
def test_impossible_lists_are_refused(changed: dict[str, Floats], why: str) -> None:
    good = {
        "users": np.arange(2),
        "rewards": np.ones((2, 2)),
        "propensities": np.ones((2, 2)),
        "filled": np.ones((2, 2), np.bool_),
    }
    with pytest.raises(ValueError, match=why):
        Lists(**{**good, **changed})  # type: ignore[arg-type]
