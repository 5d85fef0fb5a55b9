"""Turns: one at a time, and first ones before second ones."""

import threading

import pytest

from inference.turns import Turns

SECONDS = 10.0


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

    def work(turn) -> None:  # type: ignore[no-untyped-def]
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
