"""Each gate alone: its bounds, ties, and data that decides nothing."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.evaluation.resampling import Ends, of_mean, redrawn
from inference.versions.gates.breadth import breadth, covered, tail
from inference.versions.gates.calibration import bins, calibration, chance_error
from inference.versions.gates.groups import by_history, judged, worst_group
from inference.versions.gates.judge import DEFAULT
from inference.versions.gates.loading import finite
from inference.versions.gates.measuring import agreement
from inference.versions.gates.quality import quality
from inference.versions.gates.rounding import rounding, spearman
from inference.versions.gates.trial import DEPTH, NONE, Measured, Trial, by_attribute
from tests.support import trials

PLACES = arrays.arrays(np.int64, st.integers(2, 40), elements=st.integers(-1, 60))
SCORES = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=st.integers(-3, 3).map(float)
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of_places(champion: np.ndarray, challenger: np.ndarray, users: np.ndarray | None = None) -> Trial:
    """A trial of nothing but positions."""
    count = len(champion)
    one, other = (
        Measured(
            places=places,
            top=np.full((count, DEPTH), NONE),
            predicted=np.zeros(0),
            taken=np.zeros(0, np.bool_),
            shown_to=np.zeros(0, np.int64),
            chances=np.zeros(0),
        )
        for places in (champion, challenger)
    )
    zeros = np.zeros(count, np.int64)
    return Trial(one, other, np.arange(count) if users is None else users, zeros, np.ones(5, np.int64), np.ones(3))


@given(PLACES)
def test_quality_of_equal_rankings_is_equal(places: np.ndarray) -> None:
    thresholds = msgspec.structs.replace(DEFAULT, least_tests=5)
    for gate in quality(of_places(places, places), thresholds, rng()):
        assert (gate.figure, gate.low, gate.high) == (0.0, None, None)
        assert gate.passed == (len(places) >= thresholds.least_tests)


@given(PLACES, PLACES, st.integers(0, 99))
def test_quality_has_its_figure_within_its_interval(one: np.ndarray, other: np.ndarray, seed: int) -> None:
    count = min(len(one), len(other))
    trial = of_places(np.resize(one, 40), np.resize(other, 40), np.arange(40) % max(1, count))
    for gate in quality(trial, DEFAULT, rng(seed)):
        assert -1 <= gate.figure <= 1
        if gate.low is not None and gate.high is not None:
            assert gate.low <= gate.figure + 1e-9
            assert gate.high >= gate.figure - 1e-9
        assert gate.passed == (gate.figure >= gate.threshold and (gate.high is None or gate.high >= 0))


def test_quality_far_below_the_margin_fails_even_for_one_user() -> None:
    found = quality(of_places(np.zeros(50, np.int64), np.full(50, 99), np.zeros(50, np.int64)), DEFAULT, rng())
    assert not any(gate.passed for gate in found)
    assert "no interval" in found[0].text


def test_quality_slightly_but_surely_worse_fails() -> None:
    champion = np.tile(np.array([0, 20, 20, 20]), 500)
    challenger = np.tile(np.array([1, 20, 20, 20]), 500)
    gate = quality(of_places(champion, np.where(np.arange(2000) % 80 == 0, challenger, champion)), DEFAULT, rng())[0]
    assert -DEFAULT.ndcg_margin < gate.figure < 0
    assert not gate.passed
    assert gate.threshold == 0.0


def test_interval_of_a_mean_covers_it() -> None:
    """Of 200 samples of 40 users with 5 dependent values each, at least 90% of the intervals contain the mean."""
    inside = 0
    for seed in range(200):
        drawn = rng(seed)
        users = np.repeat(np.arange(40), 5)
        low, high = of_mean(drawn.normal(size=40)[users] + drawn.normal(size=200), users, drawn)
        assert low is not None
        assert high is not None
        inside += low <= 0 <= high
    assert inside >= 180


def test_one_user_has_no_interval() -> None:
    assert of_mean(np.arange(5.0), np.zeros(5, np.int64), rng()) == Ends(None, None)
    assert list(redrawn(np.zeros(5, np.int64), rng())) == []


@given(SCORES)
def test_rank_correlation_is_bounded_and_symmetric(scores: np.ndarray) -> None:
    other = rng().permutation(scores.T).T
    found = spearman(scores, other)
    assert ((np.abs(found) <= 1 + 1e-9) | np.isnan(found)).all()
    assert np.array_equal(found, spearman(other, scores), equal_nan=True)


@given(SCORES, st.floats(0.01, 100), st.floats(-5, 5))
def test_rank_correlation_is_that_of_ranks(scores: np.ndarray, slope: float, offset: float) -> None:
    """scipy's definition; a rising function changes nothing, a falling one the sign."""
    stats = pytest.importorskip("scipy.stats")
    other = np.arange(scores.shape[1], dtype=float)
    found = spearman(scores, np.tile(other, (len(scores), 1)))
    for row, one in zip(found, scores, strict=True):
        if len(set(one)) == 1:
            assert np.isnan(row)
        else:
            assert row == pytest.approx(stats.spearmanr(one, other).statistic)
    assert spearman(slope * scores + offset, scores) == pytest.approx(spearman(scores, scores), nan_ok=True)
    assert spearman(-scores, scores) == pytest.approx(-spearman(scores, scores), nan_ok=True)


@pytest.mark.parametrize("found", [np.zeros(0), np.array([1.0, np.nan]), np.full(9, 0.96)])
def test_rank_agreement_that_is_low_or_unknown_fails(found: np.ndarray) -> None:
    assert not rounding(replace(trials.same(), agreement=found), DEFAULT, rng()).passed


def test_rank_agreement_is_among_the_top_items() -> None:
    exact = np.arange(300, dtype=np.float32)[None]
    served = np.where(exact >= 200, exact, -exact)
    assert agreement(exact, served) == pytest.approx([1.0])
    assert np.isnan(agreement(exact, np.full_like(exact, np.nan))).all()
    assert np.isnan(agreement(np.full_like(exact, np.nan), exact)).all()


@given(arrays.arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1)), st.integers(0, 9))
def test_calibration_error_is_bounded(predicted: np.ndarray, seed: int) -> None:
    taken = rng(seed).random(len(predicted)) < predicted
    version = replace(
        trials.same().challenger, predicted=predicted, taken=taken, shown_to=np.arange(len(predicted)) % 7
    )
    gate = calibration(replace(trials.same(), challenger=version), DEFAULT, rng())
    assert 0 <= gate.figure <= 1
    assert gate.low is None or 0 <= gate.low <= gate.high <= 1  # type: ignore[operator]
    assert 0 <= chance_error(predicted, rng()) <= 1
    rows = bins(predicted, taken, rng())
    assert sum(row.size for row in rows) == len(predicted)
    assert all(row.low <= row.predicted + 0.5 for row in rows)


@pytest.mark.parametrize("predicted", [np.full(20, np.nan), np.full(20, 1.5), np.array([*[0.1] * 19, np.nan])])
def test_calibration_of_what_is_no_probability_fails(predicted: np.ndarray) -> None:
    version = replace(trials.same().challenger, predicted=predicted, taken=predicted > 0.2, shown_to=np.arange(20))
    assert not calibration(replace(trials.same(), challenger=version), DEFAULT, rng()).passed
    assert bins(predicted, predicted > 0.2, rng()) == []


def test_calibrated_version_with_few_items_passes() -> None:
    """By chance alone its error is far above the threshold."""
    good = trials.same(0, tests=30)
    gate = calibration(good, DEFAULT, rng())
    assert gate.passed
    assert gate.threshold > DEFAULT.calibration_error


@given(arrays.arrays(np.int64, st.tuples(st.integers(0, 9), st.just(DEPTH)), elements=st.integers(-1, 30)))
def test_coverage_counts_different_items(top: np.ndarray) -> None:
    assert covered(top) == len(set(top.ravel().tolist()) - {NONE})


def test_long_tail_leaves_out_the_most_liked_fifth() -> None:
    assert tail(np.array([5, 1, 9, 3, 0, 2, 4, 8, 7, 6])).tolist() == [1, 1, 0, 1, 1, 1, 1, 0, 1, 1]
    assert tail(np.zeros(10, np.int64)).sum() == 8
    assert tail(np.zeros(0, np.int64)).tolist() == []


def test_champion_without_breadth_has_nothing_to_lose() -> None:
    good = trials.same()
    empty = replace(good.champion, top=np.full_like(good.champion.top, NONE))
    assert all(gate.passed for gate in breadth(replace(good, champion=empty), DEFAULT, rng()))
    assert not any(gate.passed for gate in breadth(replace(good, challenger=empty), DEFAULT, rng()))


@given(arrays.arrays(np.int64, st.integers(0, 50), elements=st.integers(0, 200)))
def test_every_test_is_in_one_group_by_history(likes: np.ndarray) -> None:
    groups = by_history(likes)
    assert list(groups) == ["likes=0-2", "likes=3-9", "likes=10-30", "likes=31+"]
    assert (np.sum(list(groups.values()), axis=0) == 1).all()


def test_small_groups_are_not_judged() -> None:
    few = replace(trials.same(0, tests=20), groups={"x": np.ones(20, np.bool_)})
    assert judged(few, DEFAULT) == []
    gate = worst_group(few, DEFAULT)
    assert gate.passed
    assert gate.text.startswith("Warning, not decided")
    one_user = replace(trials.same(0, tests=100), users=np.zeros(100, np.int64))
    assert judged(one_user, DEFAULT) == []


def test_more_groups_widen_the_intervals() -> None:
    trial = trials.twins(0)
    many = replace(trial, groups={f"g{at}": np.ones(400, np.bool_) for at in range(30)})
    alone, among = (next(g for g in judged(one, DEFAULT) if g.name == "likes=31+") for one in (trial, many))
    assert among.high - among.low > alone.high - alone.low
    assert among.mean == alone.mean


def test_groups_by_attribute_may_overlap() -> None:
    found = by_attribute("genre", [("War", "Drama"), (), ("Drama",)])
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "genre=Drama": [True, False, True],
        "genre=War": [True, False, False],
    }


def test_scores_that_are_not_finite_fail_whatever_the_figures() -> None:
    good = trials.same()
    gate = finite(replace(good, challenger=replace(good.challenger, broken=3)))
    assert not gate.passed
    assert gate.figure < 1.0
    assert finite(replace(good, champion=replace(good.champion, broken=3))).passed
