"""The next value is prepared during work on the current one; results are unaffected."""

import threading
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.full_text.prefetch import prefetch


@given(st.lists(st.integers(), max_size=6), st.integers(1, 4))
def test_prefetch_yields_all_in_order(given_in: list[int], depth: int) -> None:
    assert list(prefetch(str, given_in, depth)) == [str(one) for one in given_in]


@pytest.mark.parametrize("depth", [1, 3])
def test_next_value_is_prepared_during_the_current_one(depth: int) -> None:
    begun = {number: threading.Event() for number in range(9)}

    def prepare(number: int) -> int:
        begun[number].set()
        return number

    for number in prefetch(prepare, range(8), depth):
        for following in range(number + 1, min(number + depth, 7) + 1):
            assert begun[following].wait(10)
        assert not begun[min(number + depth + 1, 8)].is_set()


def test_preparation_stops_when_the_consumer_stops() -> None:
    prepared: list[int] = []

    def prepare(number: int) -> int:
        prepared.append(number)
        return number

    found = prefetch(prepare, range(9), 2)
    assert isinstance(found, Generator)
    next(found)
    found.close()
    assert len(prepared) <= 3


def test_errors_are_raised_in_order() -> None:
    found = prefetch(lambda n: 1 // n, [1, 0, 1])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
