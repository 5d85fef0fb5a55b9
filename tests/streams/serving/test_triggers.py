"""Waiting for a list: the newest trigger wins, the wait counts from the first."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.serving.triggers import Trigger, Waiting


def trigger(user: str, offset: int, patience: float = 0.0, partition: int = 0) -> Trigger:
    return Trigger(user, user, "home", f"e{offset}", partition, offset, 0.0, patience, patience + 1.0)


def test_newest_trigger_wins_and_the_wait_counts_from_the_first() -> None:
    waiting = Waiting(10)
    first, second = trigger("a", 1, patience=1.0), trigger("a", 2, patience=5.0)
    assert waiting.add(first) == (None, None)
    assert waiting.add(second) == (first, None)
    assert waiting.take() == replace(second, patience=1.0, deadline=2.0)
    assert waiting.take() is None


def test_users_are_served_in_order_but_not_twice_at_once() -> None:
    waiting = Waiting(10)
    for number, user in enumerate("abc"):
        waiting.add(trigger(user, number, patience=float(number)))
    taken = waiting.take(busy={"a"})
    assert taken is not None
    assert taken.user == "b"
    assert waiting.take_overdue(1.0, busy={"a"}) is None
    taken = waiting.take_overdue(1.0)
    assert taken is not None
    assert taken.user == "a"
    assert waiting.take_overdue(1.0) is None
    assert len(waiting) == 1


def test_first_overdue_trigger_need_not_be_the_oldest() -> None:
    waiting = Waiting(10)
    waiting.add(trigger("a", 1, patience=9.0))
    waiting.add(trigger("b", 2, patience=1.0))
    taken = waiting.take_overdue(5.0)
    assert taken is not None
    assert taken.user == "b"


def test_longest_waiting_trigger_is_dropped_beyond_the_limit() -> None:
    waiting = Waiting(2)
    waiting.add(trigger("a", 1))
    waiting.add(trigger("b", 2))
    assert waiting.add(trigger("c", 3)) == (None, trigger("a", 1))
    assert len(waiting) == 2


def test_lost_partition_is_dropped() -> None:
    waiting = Waiting(5)
    waiting.add(trigger("a", 1, partition=0))
    waiting.add(trigger("b", 2, partition=1))
    waiting.forget(0)
    assert waiting.take() == trigger("b", 2, partition=1)
    assert not len(waiting)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=80))
def test_user_is_never_lost_or_served_twice_for_one_trigger(steps: list[tuple[str, bool]]) -> None:
    waiting = Waiting(100)
    wanted: dict[str, int] = {}
    for number, (user, take) in enumerate(steps):
        if take:
            got = waiting.take()
            assert (got is None) == (not wanted)
            if got is not None:
                assert wanted.pop(got.user) == got.offset
        else:
            waiting.add(trigger(user, number, patience=float(number)))
            wanted[user] = number
    while (got := waiting.take()) is not None:
        assert wanted.pop(got.user) == got.offset
    assert not wanted
