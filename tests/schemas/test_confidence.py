"""Confidence sequences: the same numbers as another implementation, and the promised coverage at every moment."""

import msgspec
import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.confidence import Confidence

values = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=300)


@settings(max_examples=50, deadline=None)
@given(values, st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_are_those_of_another_implementation(given_values: list[float], alpha: float) -> None:
    ours, theirs = Confidence(-1.0, 1.0, alpha), ville.EmpiricalBernsteinCS((-1.0, 1.0), alpha).fit(given_values)
    for at, value in enumerate(given_values):
        ours.add(value)
        assert ours.bounds == pytest.approx((theirs.lower_[at], theirs.upper_[at]), abs=1e-9)
    assert ours.mean == pytest.approx(np.mean(given_values))


@given(values, st.integers(0, 300))
def test_sequence_continues_from_what_was_stored(given_values: list[float], cut: int) -> None:
    whole, before = Confidence(-1.0, 1.0), Confidence(-1.0, 1.0)
    for value in given_values:
        whole.add(value)
    for value in given_values[:cut]:
        before.add(value)
    after = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=Confidence)
    for value in given_values[cut:]:
        after.add(value)
    assert after == whole


def test_bounds_miss_the_mean_at_any_moment_in_at_most_alpha_of_runs() -> None:
    random, missed = np.random.default_rng(0), 0
    for _ in range(200):
        sequence = Confidence(-1.0, 1.0)
        for value in random.choice([-1.0, 0.0, 1.0], 2_000, p=[0.06, 0.88, 0.06]).tolist():
            sequence.add(value)
        missed += not sequence.bounds.low <= 0.0 <= sequence.bounds.high
    assert missed <= 10


def test_real_difference_is_found() -> None:
    random = np.random.default_rng(1)
    counts = []
    for _ in range(20):
        sequence = Confidence(-1.0, 1.0)
        while sequence.bounds.high >= 0.0:
            sequence.add(float(random.choice([-1.0, 0.0, 1.0], p=[0.075, 0.88, 0.045])))
        counts.append(sequence.count)
    assert np.median(counts) < 3_000


@pytest.mark.parametrize("value", [-1.5, 1.0001, float("nan"), float("inf")])
def test_values_outside_the_bounds_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not between"):
        Confidence(-1.0, 1.0).add(value)


@pytest.mark.parametrize(("least", "most", "alpha"), [(1.0, 1.0, 0.05), (0.0, 1.0, 0.0), (0.0, 1.0, 1.0)])
def test_impossible_settings_are_refused(least: float, most: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Confidence(least, most, alpha)
