"""Turns: one at a time, and first ones before second ones."""

import threading
import time
from collections.abc import Callable

import pytest

from inference.priority_lock import Turns

SECONDS = 60.0


def test_first_turns_go_before_second_ones() -> None:
    turns, order = Turns(), []
    held, waiting = threading.Event(), threading.Event()

    def first() -> None:
        waiting.set()
        with turns.first():
            order.append("first")

    def seconds() -> None:
        with turns.second():
            held.set()
            assert waiting.wait(SECONDS)
            # The first one waits by now, or will in a moment: it holds the condition only while nobody waits.
            while not turns._waiting:
                pass
            order.append("second")
        with turns.second():
            order.append("second again")

    beside = threading.Thread(target=seconds)
    beside.start()
    assert held.wait(SECONDS)
    list_ = threading.Thread(target=first)
    list_.start()
    for thread in (beside, list_):
        thread.join(SECONDS)
    assert order == ["second", "first", "second again"]


def test_one_body_at_a_time() -> None:
    turns, inside, most = Turns(), 0, 0

    def work(turn) -> None:
        nonlocal inside, most
        for _ in range(200):
            with turn():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work, args=(turn,)) for turn in (turns.first, turns.first, turns.second) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert (most, inside) == (1, 0)


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_turn_that_fails_is_given_back(name: str) -> None:
    turns = Turns()
    with pytest.raises(RuntimeError), getattr(turns, name)():
        raise RuntimeError
    with turns.second():
        pass


def test_whoever_gives_way_goes_on_after_those_that_wait() -> None:
    turns, order = Turns(), []
    threads: list[threading.Thread] = []

    def first() -> None:
        with turns.first():
            order.append("first")

    with turns.second():
        turns.give_way()
        for count in (1, 2):
            threads.append(threading.Thread(target=first))
            threads[-1].start()
            until(lambda count=count: turns._waiting == count)
        order.append("second")
        turns.give_way()
        order.append("second again")
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["second", "first", "first", "second again"]


def test_a_second_turn_comes_though_somebody_always_waits_for_a_first() -> None:
    turns, over = Turns(patience=0.05), threading.Event()

    def hog() -> None:
        while not over.is_set():
            with turns.first():
                until(lambda: turns._waiting > 0 or over.is_set())

    threads = [threading.Thread(target=hog) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: turns._waiting > 0)
    came = threading.Event()

    def second() -> None:
        with turns.second():
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
