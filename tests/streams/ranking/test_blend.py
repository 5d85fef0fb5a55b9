"""The blend: it learns which signals help, stays bounded, and never lets a model make lists worse."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.candidates.registry import BUILT_IN_COLUMNS as COLUMNS
from streams.fold.context import digest
from streams.ranking.blend import MOST, Blend, Remembered, fitted, learn, weighed, weights_of

SIGNALS = COLUMNS.names
PRIOR = dict(zip(SIGNALS, COLUMNS.priors, strict=True))
N = 40
ITEMS = [f"i{n}" for n in range(N)]
MARKS = np.array([digest(one) for one in ITEMS], np.uint64)


def offered(rng: np.random.Generator, *, model: np.ndarray | None = None) -> Remembered:
    signals = rng.normal(size=(N, len(SIGNALS))).astype(np.float16)
    return Remembered(MARKS, signals, None if model is None else model.astype(np.float16))


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
            hits += taken in np.argsort(-weighed(blend, signals))[:5]
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
    assert wrong.model_weight == 0.0


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
        list_ = Remembered(MARKS, (rng.normal(size=(N, len(SIGNALS))) * 8).astype(np.float16), None)
        blend = learn(blend, list_, ITEMS[int(rng.integers(N))])
    assert all(abs(weight) <= MOST for weight in blend.weights)
    assert np.isfinite(blend.squares).all()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(blend), type=Blend) == blend
    assert len(msgspec.msgpack.encode(blend)) < 1024


def test_blend_of_other_signals_keeps_what_it_knows():
    old = Blend(names=("trend", "gone"), weights=(0.9, 5.0), squares=(2.0, 2.0))
    weights = dict(zip(SIGNALS, weights_of(old).tolist(), strict=True))
    assert weights["trend"] == pytest.approx(0.9)
    assert weights["met_now"] == pytest.approx(PRIOR["met_now"])
    after = learn(old, offered(np.random.default_rng(4)), ITEMS[0])
    assert after.names == SIGNALS


@pytest.mark.parametrize(
    "damaged",
    [
        Blend(names=("trend",), weights=(0.9, 1.0), squares=(2.0,), lists=7),
        msgspec.structs.replace(Blend(), weights=(float("nan"),) * len(SIGNALS), lists=7),
        msgspec.structs.replace(Blend(), squares=(0.0,) * len(SIGNALS), lists=7),
        Blend(names=("trend", "trend"), weights=(0.9, 1.0), squares=(2.0, 2.0), lists=7),
    ],
)
def test_damaged_blend_starts_over_at_the_priors(damaged):
    assert fitted(damaged, COLUMNS) == Blend()


def test_fitted_blend_is_the_same_object_if_it_has_the_signals():
    blend = Blend()
    assert fitted(blend, COLUMNS) is blend
