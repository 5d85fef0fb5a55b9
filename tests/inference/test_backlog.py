"""What waits beside lists: bounded in number and bytes, in order, and gone through to its end."""

import threading

import pytest

from inference.backlog import Backlog
from inference.errors import TooManyWait

SECONDS = 60.0


def test_in_order_and_then_once_what_is_to_be_tended() -> None:
    backlog: Backlog[str] = Backlog(3, 100)
    for question in ("a", "b"):
        backlog.put(question, 1)
    backlog.tend()
    backlog.tend()
    backlog.close()
    # Whoever takes a question tends after it.
    assert list(backlog) == ["a", "b"]
    backlog.tend()
    backlog.tend()
    assert list(backlog) == [None]
    assert list(backlog) == []


def test_one_too_many_is_refused_until_there_is_room() -> None:
    backlog: Backlog[int] = Backlog(2, 100)
    for question in range(2):
        backlog.put(question, 1)
    for _ in range(5):
        with pytest.raises(TooManyWait, match=r"2 questions about items wait; .* max_describes"):
            backlog.put(9, 1)
    taken = iter(backlog)
    assert next(taken) == 0
    backlog.put(2, 1)
    with pytest.raises(TooManyWait):
        backlog.check(1)
    backlog.close()
    assert list(taken) == [1, 2]


def test_so_is_one_too_large() -> None:
    backlog: Backlog[int] = Backlog(100, 10)
    backlog.put(0, 6)
    with pytest.raises(TooManyWait, match=r"6 bytes wait; .* describe_queue_mib"):
        backlog.put(1, 5)
    backlog.put(1, 4)
    taken = iter(backlog)
    assert next(taken) == 0
    backlog.put(2, 6)
    assert len(backlog) == 2


def test_whoever_iterates_waits_for_what_comes() -> None:
    backlog: Backlog[int] = Backlog(10, 100)
    found: list[int | None] = []
    came = threading.Semaphore(0)

    def take() -> None:
        for question in backlog:
            found.append(question)
            came.release()

    taking = threading.Thread(target=take)
    taking.start()
    for question in range(3):
        backlog.put(question, 1)
        assert came.acquire(timeout=SECONDS)
    backlog.tend()
    assert came.acquire(timeout=SECONDS)
    backlog.close()
    taking.join(SECONDS)
    assert found == [0, 1, 2, None]
