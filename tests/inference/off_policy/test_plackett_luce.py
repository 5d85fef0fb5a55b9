"""Lists drawn from scores."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.off_policy.plackett_luce import OUTSIDE, draw, walk

SCORES = st.lists(st.floats(-30, 30), min_size=1, max_size=5)


@given(SCORES)
def test_chances_of_all_lists_sum_to_1(scores: list[float]) -> None:
    whole = np.array(scores)
    every = [walk(whole, np.array(each), whole).chances.prod() for each in permutations(range(len(scores)))]
    assert sum(every) == pytest.approx(1.0)


@given(SCORES, st.data())
def test_walk_is_the_softmax_over_what_is_left(scores: list[float], data: st.DataObject) -> None:
    whole = np.array(scores)
    values = np.linspace(-1, 2, len(scores))
    places = np.array(data.draw(st.permutations(range(len(scores)))))[: data.draw(st.integers(1, len(scores)))]
    found = walk(whole, places, values)
    left = np.exp(whole)
    for at, place in enumerate(places):
        chances = left / left.sum()
        assert found.chances[at] == pytest.approx(chances[place], rel=1e-6)
        assert found.expected[at] == pytest.approx(chances @ values, abs=1e-6)
        left[place] = 0.0


def test_scores_far_apart_lose_no_precision() -> None:
    found = walk(np.array([0.0, -800.0, -801.0]), np.array([0, 1, 2]), np.array([1.0, 2.0, 4.0]))
    assert found.chances.tolist() == pytest.approx([1.0, 1 / (1 + np.exp(-1)), 1.0])
    assert found.expected[2] == 4.0


def test_impossible_choices_have_no_chance() -> None:
    found = walk(np.array([0.0, -np.inf]), np.array([OUTSIDE, 1, 0]), np.ones(2))
    assert found.chances.tolist() == [0.0, 0.0, 1.0]
    assert found.expected.tolist() == [1.0, 1.0, 1.0]
    nothing = walk(np.zeros(0), np.array([OUTSIDE]), np.zeros(0))
    assert (nothing.chances.tolist(), nothing.expected.tolist()) == ([0.0], [0.0])


def test_draws_have_the_chances_of_their_lists() -> None:
    scores, rng = np.array([0.5, -0.3, 0.0, -np.inf]), np.random.default_rng(0)
    drawn = [tuple(draw(scores, rng, 2).tolist()) for _ in range(20_000)]
    for each in permutations(range(3), 2):
        chance = walk(scores, np.array(each), np.zeros(4)).chances.prod()
        assert drawn.count(each) / len(drawn) == pytest.approx(chance, abs=0.015)
    assert all(len(draw(scores, rng, 9)) == 3 for _ in range(10))
