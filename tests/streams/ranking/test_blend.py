"""The blend: it learns which signals help, stays bounded, and never lets a model make lists worse."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.candidates.registry import BUILT_IN_COLUMNS as COLUMNS
from streams.fold.context import digest
from streams.ranking.blend import (
    LEADING,
    MOST,
    MOST_SLOPE,
    SCARCE,
    SLOPE_PATIENCE,
    TRUSTED,
    Blend,
    Remembered,
    fitted,
    learn,
    trust,
    weighed,
    weights_of,
)
from streams.ranking.modifiers import MODIFIERS

SIGNALS = COLUMNS.names
PRIOR = dict(zip(SIGNALS, COLUMNS.priors, strict=True))
N = 40
ITEMS = [f"i{n}" for n in range(N)]
MARKS = np.array([digest(one) for one in ITEMS], np.uint64)


def drawn_signals(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random signals, float16 [count, len(SIGNALS)]; those that are not learned are 0."""
    return np.where(COLUMNS.fixed, 0, rng.normal(size=(count, len(SIGNALS)))).astype(np.float16)


def offered(rng: np.random.Generator, *, model: np.ndarray | None = None) -> Remembered:
    signals = drawn_signals(rng, N)
    modifiers = rng.uniform(-1, 1, (N, len(MODIFIERS))).astype(np.float16)
    return Remembered(MARKS, signals, modifiers, None if model is None else model.astype(np.float16))


def drawn(rng: np.random.Generator, utility: np.ndarray) -> int:
    chance = np.exp(utility - utility.max())
    return int(rng.choice(len(utility), p=chance / chance.sum()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "truth",
    [
        {"trend": 1.5},
        {"met_long": 1.0, "likes": -1.0},
        {"interest": 0.8, "liked_lately": 0.8, "alike": 0.8},
        {"met_now": -1.5, "approval": 1.0},
    ],
    ids="+".join,
)
def test_blend_is_not_worse_than_its_best_single_signal(truth, seed):
    """Whatever users follow, even if the prior weights do not expect it; counted over the second half of 1,500 lists.

    If one signal alone explains the likes, learning weight 0 for the others leaves some noise: hence 3%.
    """
    rng = np.random.default_rng(seed)
    wanted = np.array([truth.get(name, 0.0) for name in SIGNALS])
    blend, hits, alone = Blend(), 0, np.zeros(2 * len(SIGNALS))
    for step in range(1500):
        list_ = offered(rng)
        signals = list_.signals.astype(np.float32)
        taken = drawn(rng, signals @ wanted)
        if step >= 750:
            hits += taken in np.argsort(-weighed(blend, signals, list_.modifiers.astype(np.float32)))[:5]
            for column in range(len(SIGNALS)):
                alone[column] += taken in np.argsort(-signals[:, column])[:5]
                alone[len(SIGNALS) + column] += taken in np.argsort(signals[:, column])[:5]
        blend = learn(blend, list_, ITEMS[taken])
    assert hits >= alone.max() * (0.97 if len(truth) == 1 else 1.05)


def test_useful_model_gains_weight_and_useless_one_does_not():
    rng = np.random.default_rng(1)
    knows, noisy, wrong = Blend(), Blend(), Blend()
    for _ in range(600):
        model = np.zeros(N)
        model[:16] = rng.normal(size=16)
        taken = drawn(rng, 1.5 * model)
        knows = learn(knows, offered(rng, model=model), ITEMS[taken])
        noise = np.zeros(N)
        noise[:16] = rng.normal(size=16)
        noisy = learn(noisy, offered(rng, model=noise), ITEMS[taken])
        wrong = learn(wrong, offered(rng, model=-model), ITEMS[taken])
    assert knows.model_weight > 0.8
    assert noisy.model_weight < 0.1
    assert wrong.model_weight < 0.01


def test_lists_without_the_model_do_not_move_its_weight():
    blend = msgspec.structs.replace(Blend(), model_weight=0.7)
    after = learn(blend, offered(np.random.default_rng(2)), ITEMS[3])
    assert after.model_weight == 0.7
    assert after.weights != blend.weights
    assert after.lists == 1


def test_like_of_no_candidate_teaches_nothing():
    blend = Blend()
    assert learn(blend, offered(np.random.default_rng(3)), "elsewhere") is blend


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_weights_stay_finite_and_bounded_whatever_happens(seed, lists):
    rng = np.random.default_rng(seed)
    blend = Blend()
    for _ in range(lists):
        signals, modifiers = rng.normal(size=(N, len(SIGNALS))) * 8, rng.choice([-1, 1], (N, len(MODIFIERS)))
        list_ = Remembered(MARKS, signals.astype(np.float16), modifiers.astype(np.float16), None)
        blend = learn(blend, list_, ITEMS[int(rng.integers(N))])
    assert all(abs(weight) <= MOST for weight in blend.weights)
    assert np.abs(blend.slopes).max() <= MOST_SLOPE
    assert np.isfinite(blend.squares).all()
    assert np.isfinite(blend.slope_squares).all()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(blend), type=Blend) == blend
    assert len(msgspec.msgpack.encode(blend)) < 2048


def test_blend_of_other_signals_keeps_what_it_knows():
    old = Blend(names=("trend", "gone"), weights=(0.9, 5.0), squares=(2.0, 2.0))
    weights = dict(zip(SIGNALS, weights_of(old).tolist(), strict=True))
    assert weights["trend"] == pytest.approx(0.9)
    assert weights["met_now"] == pytest.approx(PRIOR["met_now"])
    after = learn(old, offered(np.random.default_rng(4)), ITEMS[0])
    assert after.names == SIGNALS


def test_slopes_are_matched_by_the_names_of_signals_and_modifiers():
    rows = ((0.3, 0.2), (0.1, 0.1))
    old = Blend(("trend", "gone"), (0.9, 1.0), (2.0, 2.0), lists=7, modifiers=("item_likes", "gone"), slopes=rows)
    old = msgspec.structs.replace(old, slope_squares=((3.0, 3.0), (3.0, 3.0)), advantage=4.0)
    blend = fitted(old, COLUMNS)
    slopes, squares = np.array(blend.slopes), np.array(blend.slope_squares)
    at = SIGNALS.index("trend"), MODIFIERS.index("item_likes")
    assert (blend.modifiers, blend.lists, blend.advantage) == (MODIFIERS, 7, 4.0)
    assert (slopes[at], squares[at]) == (0.3, 3.0)
    assert np.count_nonzero(slopes) == 1
    assert np.count_nonzero(squares == SLOPE_PATIENCE) == squares.size - 1
    assert fitted(blend, COLUMNS) is blend


class Linear(msgspec.Struct, frozen=True, array_like=True):
    """The blend as workers stored it before it had slopes."""

    names: tuple[str, ...] = SIGNALS
    weights: tuple[float, ...] = tuple(0.01 * n for n in range(len(SIGNALS)))
    squares: tuple[float, ...] = (3.0,) * len(SIGNALS)
    model_weight: float = 0.4
    model_square: float = 2.0
    lists: int = 9


def test_blend_of_an_older_worker_is_continued_and_one_of_this_worker_can_be_read_by_an_older_one():
    blend = msgspec.msgpack.decode(msgspec.msgpack.encode(Linear()), type=Blend)
    assert fitted(blend, COLUMNS) is blend
    assert (blend.weights, blend.lists, blend.slopes) == (Linear().weights, 9, ())
    after = learn(blend, offered(np.random.default_rng(4)), ITEMS[0])
    assert after.lists == 10
    assert np.abs(np.array(after.weights) - Linear().weights).max() < 0.1
    older = msgspec.msgpack.decode(msgspec.msgpack.encode(after), type=Linear)
    assert (older.weights, older.lists) == (after.weights, 10)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_scores_without_slopes_are_those_of_the_linear_blend(seed):
    rng = np.random.default_rng(seed)
    weights = tuple(rng.normal(size=len(SIGNALS)).tolist())
    signals = rng.normal(size=(N, len(SIGNALS))).astype(np.float32)
    modifiers = rng.uniform(-1, 1, (N, len(MODIFIERS))).astype(np.float32)
    linear = Blend(weights=weights)
    none = ((0.0,) * len(MODIFIERS),) * len(SIGNALS)
    zero = Blend(weights=weights, modifiers=MODIFIERS, slopes=none, slope_squares=none, advantage=TRUSTED)
    expected = signals @ np.array(weights, np.float32)
    assert (weighed(linear, signals, modifiers) == expected).all()
    assert weighed(zero, signals, modifiers) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_slopes_follow_users_whose_taste_depends_on_their_history(seed):
    """Every other user follows the trend, the others avoid it: no weight without slopes can serve both."""
    rng = np.random.default_rng(seed)
    trend, column = SIGNALS.index("trend"), MODIFIERS.index("user_events")
    blend, hits, linear = Blend(), 0, 0
    for step in range(2_000):
        list_ = offered(rng)
        list_.modifiers[:, column] = 1.0 if step % 2 else -1.0
        signals, modifiers = list_.signals.astype(np.float32), list_.modifiers.astype(np.float32)
        taken = drawn(rng, 1.5 * signals[:, trend] * modifiers[:, column])
        if step >= 1_500:
            hits += taken in np.argsort(-weighed(blend, signals, modifiers))[:5]
            linear += taken in np.argsort(-(signals @ weights_of(blend)))[:5]
        blend = learn(blend, list_, ITEMS[taken])
    assert hits > 1.5 * linear
    assert blend.slopes[trend][column] > 0.5


@pytest.mark.parametrize("seed", range(2))
def test_slopes_that_predict_nothing_are_not_trusted(seed):
    """Users follow the same signals all alike, so any slope is noise."""
    rng = np.random.default_rng(seed)
    blend, wanted = Blend(), np.array(COLUMNS.priors)
    trusts = []
    for _ in range(1_000):
        list_ = offered(rng)
        blend = learn(blend, list_, ITEMS[drawn(rng, list_.signals.astype(np.float64) @ wanted)])
        trusts.append(trust(blend))
    assert np.mean(trusts) < 0.1


def test_trust_follows_the_advantage():
    blend = msgspec.structs.replace(Blend(), modifiers=MODIFIERS)
    found = [trust(msgspec.structs.replace(blend, advantage=share * TRUSTED)) for share in (-2, 0, 0.5, 1, 9)]
    assert found == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert trust(Blend(advantage=TRUSTED)) == 0.0  # no slopes


def test_blend_learns_from_likes_of_leading_candidates_only_unless_data_are_scarce():
    count = LEADING + 2
    items = [f"i{n}" for n in range(count)]
    signals = np.zeros((count, len(SIGNALS)), np.float16)
    signals[:, SIGNALS.index("trend")] = np.linspace(3, -3, count)
    signals[LEADING] = signals[LEADING - 1]  # ties lead too
    marks = np.array([digest(one) for one in items], np.uint64)
    list_ = Remembered(marks, signals, np.zeros((count, len(MODIFIERS)), np.float16), None)
    blend = Blend(lists=SCARCE)
    assert learn(blend, list_, items[-1]) is blend
    assert learn(Blend(lists=SCARCE - 1), list_, items[-1]).lists == SCARCE
    assert learn(blend, list_, items[LEADING]).lists == SCARCE + 1
    outside = signals.copy()
    outside[-1] -= 1
    assert learn(blend, dataclasses.replace(list_, signals=outside), items[5]) == learn(blend, list_, items[5])


def test_blend_whose_weights_are_all_wrong_still_learns():
    """Among 400 candidates, the likes are of those that the prior puts last."""
    rng = np.random.default_rng(0)
    count, wanted = 400, -2 * np.array(COLUMNS.priors)
    items = [f"i{n}" for n in range(count)]
    marks = np.array([digest(one) for one in items], np.uint64)
    blend, hits = Blend(lists=SCARCE), 0
    for step in range(2_000):
        signals = drawn_signals(rng, count)
        taken = drawn(rng, signals.astype(np.float64) @ wanted)
        modifiers = np.zeros((count, len(MODIFIERS)), np.float32)
        hits += step >= 1_500 and taken in np.argsort(-weighed(blend, signals.astype(np.float32), modifiers))[:20]
        blend = learn(blend, Remembered(marks, signals, modifiers.astype(np.float16), None), items[taken])
    assert hits > 100  # 25 by chance


def test_weights_of_fixed_signals_stay_at_their_priors():
    rng = np.random.default_rng(0)
    blend = Blend()
    for _ in range(50):
        list_ = offered(rng)
        list_.signals[:, np.array(COLUMNS.fixed)] = rng.choice([-1, 1], (N, sum(COLUMNS.fixed)))
        blend = learn(blend, list_, ITEMS[int(rng.integers(N))])
    assert blend.lists == 50
    for name, weight, slopes, fixed in zip(SIGNALS, blend.weights, blend.slopes, COLUMNS.fixed, strict=True):
        assert (weight == PRIOR[name] and not any(slopes)) == fixed


@pytest.mark.parametrize(
    "damaged",
    [
        Blend(names=("trend",), weights=(0.9, 1.0), squares=(2.0,), lists=7),
        msgspec.structs.replace(Blend(), weights=(float("nan"),) * len(SIGNALS), lists=7),
        msgspec.structs.replace(Blend(), squares=(0.0,) * len(SIGNALS), lists=7),
        Blend(names=("trend", "trend"), weights=(0.9, 1.0), squares=(2.0, 2.0), lists=7),
        Blend(modifiers=MODIFIERS, lists=7),
        Blend(advantage=float("nan"), lists=7),
        Blend(slopes=((0.1,),), slope_squares=((1.0,),), lists=7),
        Blend(modifiers=("one",), slopes=((0.1,),) * 13, slope_squares=((1.0, 1.0),) * 13, lists=7),
        Blend(modifiers=("one",), slopes=((float("inf"),),) * 13, slope_squares=((1.0,),) * 13, lists=7),
        Blend(modifiers=("one",), slopes=((0.1,),) * 13, slope_squares=((0.0,),) * 13, lists=7),
    ],
)
def test_damaged_blend_starts_over_at_the_priors(damaged):
    assert fitted(damaged, COLUMNS) == Blend()


def test_fitted_blend_is_the_same_object_if_it_has_the_signals():
    blend = Blend()
    assert fitted(blend, COLUMNS) is blend
