"""MMR: each step equals the definition in the paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.ranking.diversity import diversify

SCORES = arrays(np.float32, 9, elements=st.floats(-4, 4, width=32))
RAW = arrays(np.float32, (9, 5), elements=st.floats(-1, 1, width=32))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype(np.float32)


@given(SCORES, RAW, st.integers(0, 12))
def test_order_is_by_score_without_strength(scores, raw, count):
    chosen, values = diversify(scores, unit(raw), count, 0.0)
    assert chosen.tolist() == np.argsort(-scores, kind="stable")[:count].tolist()
    assert values.tolist() == scores[chosen].tolist()


@given(SCORES, RAW, st.integers(1, 9), st.floats(0.01, 3))
def test_place_goes_to_the_best_marginal_and_scores_never_increase(scores, raw, count, strength):
    vectors = unit(raw)
    chosen, values = diversify(scores, vectors, count, strength)
    assert len(set(chosen.tolist())) == count
    assert (np.diff(values) <= 1e-5).all()
    for place, value in enumerate(values):
        above = chosen[:place]
        left = [n for n in range(len(scores)) if n not in above]
        penalty = [max([0.0, *(vectors[above] @ vectors[n])]) for n in left]
        marginal = [float(scores[n]) - strength * cost for n, cost in zip(left, penalty, strict=True)]
        assert value == pytest.approx(max(marginal), abs=1e-4)


def test_identical_item_gives_way():
    vectors = unit(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    chosen, _ = diversify(np.array([1.0, 0.9, 0.8], np.float32), vectors, 3, 0.5)
    assert chosen.tolist() == [0, 2, 1]
