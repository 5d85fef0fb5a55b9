"""The bootstrap over users, compared with known results for means."""

import math

import numpy as np
import pytest

from inference.evaluation.intervals import ALL_ALIKE, NO_TESTS, ONE_USER, Interval, interval


def width(found: Interval) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_interval_with_one_test_per_user_is_that_of_a_mean():
    values = np.random.default_rng(1).normal(0.3, 1.0, 400)
    found = interval(values, np.arange(400))
    error = 1.96 * values.std() / math.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + error, abs=0.02)


def test_tests_of_a_user_are_resampled_together():
    values = np.repeat(np.random.default_rng(2).normal(0.0, 1.0, 50), 40)
    apart, together = interval(values, np.arange(2000)), interval(values, np.repeat(np.arange(50), 40))
    ratio = width(together) / width(apart)
    assert ratio == pytest.approx(math.sqrt(40), rel=0.15)


def test_interval_covers_the_truth_at_its_nominal_rate():
    random = np.random.default_rng(3)
    held = 0
    for seed in range(100):
        users = np.repeat(np.arange(40), 5)
        values = (random.random(200) < random.beta(2, 8, 40)[users]).astype(float)
        found = interval(values, users, draws=400, seed=seed)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.2 <= found.high
    assert 86 <= held <= 99


def test_interval_depends_on_the_seed_and_not_on_user_numbers():
    values = np.array([1.0, 0.0, 1.0, 1.0])
    assert interval(values, np.array([7, 7, 9, 9])) == interval(values, np.array([0, 0, 1, 1]))
    assert interval(values, np.array([0, 0, 1, 1]), seed=1) == interval(values, np.array([0, 0, 1, 1]), seed=1)


def test_missing_interval_states_the_reason():
    assert interval(np.zeros(0), np.zeros(0, np.int64)) == (None, None, 0.0, NO_TESTS)
    assert interval(np.array([1.0, 0.0] * 40), np.full(80, 3)) == (None, None, 0.5, ONE_USER)
    assert interval(np.zeros(80), np.arange(80)) == (None, None, 0.0, ALL_ALIKE)
    assert interval(np.array([1.0, 0.0] * 40), np.repeat(np.arange(40), 2)) == (None, None, 0.5, ALL_ALIKE)
    assert interval(np.array([1.0, 0.0]), np.array([3, 4])) == (0.0, 1.0, 0.5, None)
