"""The next batch is prepared while the last one is worked on, and nothing else changes."""

import threading
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.full_text.prefetch import ahead


@given(st.lists(st.integers(), max_size=6), st.integers(1, 4))
def test_all_in_order(given_in: list[int], depth: int) -> None:
    assert list(ahead(str, given_in, depth)) == [str(one) for one in given_in]


@pytest.mark.parametrize("depth", [1, 3])
def test_what_comes_next_is_prepared_while_the_last_is_worked_on(depth: int) -> None:
    begun = {number: threading.Event() for number in range(9)}

    def prepare(number: int) -> int:
        begun[number].set()
        return number

    for number in ahead(prepare, range(8), depth):
        for following in range(number + 1, min(number + depth, 7) + 1):
            assert begun[following].wait(10)
        assert not begun[min(number + depth + 1, 8)].is_set()


def test_nothing_is_prepared_once_nobody_asks() -> None:
    prepared: list[int] = []

    def prepare(number: int) -> int:
        prepared.append(number)
        return number

    found = ahead(prepare, range(9), 2)
    assert isinstance(found, Generator)
    next(found)
    found.close()
    assert len(prepared) <= 3


def test_what_goes_wrong_comes_in_its_place() -> None:
    found = ahead(lambda n: 1 // n, [1, 0, 1])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
