"""Calibration recovers the odds that generated the data, and measures the error of logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.training.calibration import calibrate, expected_error, isotonic, platt, sigmoid


def drawn(slope: float, offset: float, count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(3.0, 2.0, count)
    taken = rng.random(count) < sigmoid(slope * scores + offset)
    return scores, taken, rng.random(count) < 0.5


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -3.0), (1.5, -4.0), (0.05, -1.0)])
def test_platt_finds_the_line(slope: float, offset: float) -> None:
    scores, taken, _ = drawn(slope, offset, 40_000)
    assert platt(scores, taken) == pytest.approx((slope, offset), abs=0.12)


def test_calibration_error_falls_to_almost_zero() -> None:
    found = calibrate(*drawn(0.4, -3.0, 20_000))
    assert found is not None
    assert found.before > 0.3
    assert found.after < 0.02
    assert found.isotonic is not None
    assert found.isotonic < 0.03
    assert found.shown == 20_000


def test_isotonic_figure_needs_enough_taken_entries() -> None:
    found = calibrate(*drawn(0.4, -3.0, 500))
    assert found is not None
    assert found.isotonic is None


def test_uncalibratable_scores_are_left_alone() -> None:
    scores, taken, half = drawn(0.4, -3.0, 500)
    assert calibrate(scores, np.zeros(500, np.bool_), half) is None
    assert calibrate(scores, np.ones(500, np.bool_), half) is None
    assert calibrate(-scores, scores > 4.0, half) is None  # higher scores are taken less often
    one_sided = calibrate(scores, taken, np.zeros(500, np.bool_))
    assert one_sided is not None


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=1, max_size=60))
def test_isotonic_never_falls_and_keeps_the_sum(rows: list[tuple[float, bool]]) -> None:
    scores, taken = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    x, y = isotonic(scores, taken)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= -1e-12).all()
    assert y.sum() == pytest.approx(taken.sum())


def test_expected_error_matches_a_calculation_by_hand() -> None:
    said = np.repeat([0.2, 0.8], 50)
    came = np.concatenate((np.arange(50) < 10, np.arange(50) < 20))
    # Ten groups of ten: in each half, taken ones come first, so each group is off by its own share.
    assert expected_error(said, came) == pytest.approx((0.8 + 4 * 0.2 + 0.2 * 2 + 0.8 * 3) / 10)
    assert expected_error(np.zeros(0), np.zeros(0, np.bool_)) == 0.0
