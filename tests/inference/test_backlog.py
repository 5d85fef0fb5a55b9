"""The backlog is bounded in number and bytes, keeps the order, and is drained on close."""

import threading

import pytest

from inference.backlog import Backlog
from inference.errors import TooManyWait

SECONDS = 60.0


def test_backlog_yields_requests_in_order_and_then_one_tend() -> None:
    backlog: Backlog[str] = Backlog(3, 100)
    for question in ("a", "b"):
        backlog.put(question, 1)
    backlog.tend()
    backlog.tend()
    backlog.close()
    # The consumer also tends after each request.
    assert list(backlog) == ["a", "b"]
    backlog.tend()
    backlog.tend()
    assert list(backlog) == [None]
    assert list(backlog) == []


def test_backlog_refuses_requests_beyond_its_number_until_there_is_room() -> None:
    backlog: Backlog[int] = Backlog(2, 100)
    for question in range(2):
        backlog.put(question, 1)
    for _ in range(5):
        with pytest.raises(TooManyWait, match=r"2 describe requests are queued; .* max_describes"):
            backlog.put(9, 1)
    taken = iter(backlog)
    assert next(taken) == 0
    backlog.put(2, 1)
    with pytest.raises(TooManyWait):
        backlog.check(1)
    backlog.close()
    assert list(taken) == [1, 2]


def test_backlog_refuses_requests_beyond_its_bytes_until_there_is_room() -> None:
    backlog: Backlog[int] = Backlog(100, 10)
    backlog.put(0, 6)
    with pytest.raises(TooManyWait, match=r"6 bytes are queued; .* describe_queue_mib"):
        backlog.put(1, 5)
    backlog.put(1, 4)
    taken = iter(backlog)
    assert next(taken) == 0
    backlog.put(2, 6)
    assert len(backlog) == 2


def test_iteration_waits_for_the_next_request() -> None:
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
