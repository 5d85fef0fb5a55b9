"""Items are read in order of need, and a million waiting items do not slow a list."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.items.reading_order import POPULAR, WANTED, ReadingOrder


def order(count: int) -> ReadingOrder:
    made = ReadingOrder()
    for number in range(count):
        made.add(number)
    return made


def read(made: ReadingOrder, count: int) -> list[int]:
    numbers = made.first(count)
    for number in numbers:
        made.discard(number)
    return numbers


def numbers(made: ReadingOrder) -> np.ndarray:
    return np.array(sorted(made._waiting), np.int64)


def test_reading_order_is_listed_then_popular_then_oldest() -> None:
    made = order(10)
    popularity = np.array([0, 5, 9, 0, 7, 0, 1, 0, 0, 0], float)
    made.rank(popularity, numbers(made))
    made.want([8, 3])
    made.want([9, 4])
    assert read(made, 3) == [9, 4, 8], "the newest list first, and its most needed item"
    assert read(made, 5) == [3, 2, 1, 6, 0]
    assert not made.ranked()
    assert read(made, 9) == [5, 7]
    assert len(made) == 0


def test_current_popularity_decides() -> None:
    made = order(6)
    made.rank(np.zeros(6), numbers(made))
    assert not made.ranked()
    assert read(made, 1) == [0], "nothing is known: first come, first read"
    made.rank(np.array([9, 0, 1, 0, 2, 0], float), numbers(made))
    assert read(made, 3) == [4, 2, 1]


def test_failed_item_waits_behind_all_others_until_its_text_changes() -> None:
    made = order(4)
    made.want([0])
    made.postpone([0])
    made.want([0])
    made.rank(np.array([9.0, 1.0]), numbers(made))
    assert made.first(9) == [1, 2, 3, 0]
    made.add(0)
    made.want([0])
    assert made.first(9) == [0, 1, 2, 3]


def test_removed_item_is_never_read() -> None:
    made = order(3)
    made.rank(np.ones(3), numbers(made))
    made.want([1, 2])
    made.discard(1)
    made.want([1, 7])
    assert made.first(9) == [2, 0]
    made.restart([5, 6])
    assert made.first(9) == [5, 6]


def test_reading_order_is_bounded() -> None:
    made = order(3 * POPULAR)
    made.want(range(WANTED))
    made.want(range(2 * WANTED, 2 * WANTED + WANTED // 2))
    assert len(made._wanted) == WANTED
    assert made.first(1) == [2 * WANTED]
    assert made.first(WANTED)[-1] == WANTED // 2 - 1, "the least needed of the oldest list were evicted"
    made.rank(np.arange(3.0 * POPULAR), numbers(made))
    assert len(made._popular) == POPULAR


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "discard", "want", "postpone", "rank", "read"]), st.integers(0, 30)),
        max_size=60,
    )
)
def test_waiting_items_are_each_returned_once(steps: list[tuple[str, int]]) -> None:
    made, waiting = ReadingOrder(), set()
    for what, number in steps:
        if what == "add":
            made.add(number)
            waiting.add(number)
        elif what == "discard":
            made.discard(number)
            waiting.discard(number)
        elif what == "want":
            made.want([number, number + 1, number])
        elif what == "postpone":
            made.postpone([number])
        elif what == "rank":
            made.rank(np.arange(31.0) * number, numbers(made))
        else:
            waiting -= set(read(made, 2))
        given_now = made.first(100)
        assert len(given_now) == len(set(given_now)) == len(made)
        assert set(given_now) == waiting


def test_million_waiting_items_do_not_slow_a_list() -> None:
    made = ReadingOrder()
    made.restart(range(1_000_000))
    popularity = np.zeros(1_000_000)
    popularity[::2] = 1.0
    made.rank(popularity, np.arange(1_000_000))
    began = time.process_time()
    for start in range(0, 40_000, 40):
        made.want(range(start, start + 40))
        read(made, 4)
    assert time.process_time() - began < 10.0, "a thousand lists, each with a batch"
