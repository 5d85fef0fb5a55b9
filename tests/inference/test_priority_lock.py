"""The priority lock runs one body at a time, foreground before background."""

import threading
import time
from collections.abc import Callable

import pytest

from inference.priority_lock import PriorityLock

SECONDS = 60.0


def test_foreground_goes_before_background() -> None:
    lock, order = PriorityLock(), []
    held, waiting = threading.Event(), threading.Event()

    def first() -> None:
        waiting.set()
        with lock.foreground():
            order.append("first")

    def seconds() -> None:
        with lock.background():
            held.set()
            assert waiting.wait(SECONDS)
            # The foreground thread is waiting or is about to: it counts itself in `_waiting`.
            while not lock._waiting:
                pass
            order.append("second")
        with lock.background():
            order.append("second again")

    beside = threading.Thread(target=seconds)
    beside.start()
    assert held.wait(SECONDS)
    list_ = threading.Thread(target=first)
    list_.start()
    for thread in (beside, list_):
        thread.join(SECONDS)
    assert order == ["second", "first", "second again"]


def test_bodies_run_one_at_a_time() -> None:
    lock, inside, most = PriorityLock(), 0, 0

    def work(turn) -> None:
        nonlocal inside, most
        for _ in range(200):
            with turn():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [
        threading.Thread(target=work, args=(turn,)) for turn in (lock.foreground, lock.foreground, lock.background) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert (most, inside) == (1, 0)


@pytest.mark.parametrize("name", ["foreground", "background"])
def test_failed_body_releases_the_lock(name: str) -> None:
    lock = PriorityLock()
    with pytest.raises(RuntimeError), getattr(lock, name)():
        raise RuntimeError
    with lock.background():
        pass


def test_background_that_gives_way_resumes_after_waiting_foreground() -> None:
    lock, order = PriorityLock(), []
    threads: list[threading.Thread] = []

    def first() -> None:
        with lock.foreground():
            order.append("first")

    with lock.background():
        lock.give_way()
        for count in (1, 2):
            threads.append(threading.Thread(target=first))
            threads[-1].start()
            until(lambda count=count: lock._waiting == count)
        order.append("second")
        lock.give_way()
        order.append("second again")
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["second", "first", "first", "second again"]


def test_background_is_not_starved_by_foreground() -> None:
    lock, over = PriorityLock(patience=0.05), threading.Event()

    def hog() -> None:
        while not over.is_set():
            with lock.foreground():
                until(lambda: lock._waiting > 0 or over.is_set())

    threads = [threading.Thread(target=hog) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: lock._waiting > 0)
    came = threading.Event()

    def second() -> None:
        with lock.background():
            came.set()

    asking = threading.Thread(target=second)
    asking.start()
    assert came.wait(SECONDS)
    over.set()
    for thread in (*threads, asking):
        thread.join(SECONDS)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)
