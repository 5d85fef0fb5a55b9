"""How strongly wishes count: no more than it takes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.steering.strength import FEWEST, STEPS, strength


def first(scores: np.ndarray, length: int = 10) -> np.ndarray:
    return np.argsort(-scores)[:length]


def test_wish_for_more_doubles_what_is_on_the_list_and_hardly_more() -> None:
    scores = np.linspace(3, -3, 100).astype(np.float32)
    wish = np.where(np.arange(100) % 5 == 0, 3.0, 0.0).astype(np.float32)  # two of the first ten
    step = strength(scores, wish, 10)
    assert 4 <= np.count_nonzero(wish[first(scores + step * wish)]) <= 5


def test_wish_for_less_halves_what_is_on_the_list() -> None:
    scores = np.linspace(3, -3, 100).astype(np.float32)
    wish = np.where(np.arange(100) % 2 == 0, -3.0, 0.0).astype(np.float32)
    step = strength(scores, wish, 10)
    assert step < 1
    assert np.count_nonzero(wish[first(scores + step * wish, 15)]) <= 2
    assert np.count_nonzero(wish[first(scores + step * wish)]) <= 2


def test_wish_for_what_was_not_on_the_list_gets_two_entries() -> None:
    scores = np.linspace(3, -3, 100).astype(np.float32)
    wish = np.where(np.arange(100) >= 40, 3.0, 0.0).astype(np.float32)
    step = strength(scores, wish, 10)
    assert FEWEST <= np.count_nonzero(wish[first(scores + step * wish)]) <= FEWEST + 2


def test_wish_that_cannot_be_granted_counts_in_full() -> None:
    scores = np.array([9.0, 8.0, 0.0], np.float32)
    assert strength(scores, np.array([0.0, 0.0, 1.0], np.float32), 2) == 1.0


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.floats(-3, 3, width=32)), max_size=30), st.integers(0, 12))
def test_strength_is_one_of_the_steps(rows: list[tuple[float, float]], length: int) -> None:
    table = np.array(rows, np.float32).reshape(-1, 2)
    assert strength(table[:, 0], table[:, 1], length) in STEPS or strength(table[:, 0], table[:, 1], length) == 1.0
