"""The order of a replay: each user in order, few users at once, and never far before their turn."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.loop.order import InOrder
from schemas.events import Event, EventKind


def events(users: Sequence[str]) -> list[Event]:
    return [
        Event(id=f"e{at}", user=user, kind=EventKind.RATE, item="i1", value=4.0, ts=at) for at, user in enumerate(users)
    ]


def test_user_with_an_open_event_is_overtaken_by_others() -> None:
    order = InOrder(events("aab"), in_flight=2, window=10)
    assert [order.next(), order.next(), order.next()] == [0, 2, None]
    order.answered("a")
    assert order.next() == 1
    assert not order.left


def test_limit_of_users_in_flight_holds_the_rest() -> None:
    order = InOrder(events("abc"), in_flight=2, window=10)
    assert [order.next(), order.next(), order.next()] == [0, 1, None]
    order.answered("b")
    assert order.next() == 2


def test_window_bounds_how_far_an_event_goes_before_its_turn() -> None:
    order = InOrder(events("aaaab"), in_flight=4, window=3)
    assert [order.next(), order.next()] == [0, None], "three others come before b"
    order.answered("a")
    assert [order.next(), order.next()] == [1, 4]


def test_answer_for_a_user_who_does_not_wait_changes_nothing() -> None:
    order = InOrder(events("a"), in_flight=1, window=1)
    order.answered("b")
    assert order.next() == 0


@pytest.mark.parametrize(("in_flight", "window"), [(0, 1), (1, 0)])
def test_bounds_below_one_are_refused(in_flight: int, window: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        InOrder((), in_flight=in_flight, window=window)


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(1, 4), st.integers(1, 8), st.randoms())
def test_every_event_is_sent_once_in_its_users_order_and_near_its_turn(users, in_flight, window, random) -> None:
    stream = events(users)
    order = InOrder(stream, in_flight=in_flight, window=window)
    sent: list[int] = []
    waiting: list[str] = []
    while order.left or waiting:
        at = order.next()
        if at is None or (waiting and random.random() < 0.3):
            if at is not None:
                sent.append(at)
                waiting.append(users[at])
            order.answered(waiting.pop(random.randrange(len(waiting))))
            continue
        assert users[at] not in waiting
        unsent = min(set(range(len(users))) - set(sent))
        assert at - unsent < window
        sent.append(at)
        waiting.append(users[at])
        assert len(waiting) <= in_flight
    assert sorted(sent) == list(range(len(users)))
    for user in set(users):
        own = [at for at in sent if users[at] == user]
        assert own == sorted(own)
