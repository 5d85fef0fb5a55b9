"""Guests: visitors' own users, a bounded number of them."""

from schemas.events import Event, EventKind
from streams.page.guests import MAX_DONE, Guest, Guests


def event(number: int) -> Event:
    return Event(id=f"e{number}", user="guest-1", kind=EventKind.LIKE, ts=number, item="i")


def test_longest_inactive_guest_is_evicted() -> None:
    guests = Guests(most=2)
    for name in ("a", "b"):
        guests.add(f"key-{name}", name)
    assert guests.find("key-a") is not None
    guests.add("key-c", "c")
    assert [guests.find(f"key-{name}") is not None for name in "abc"] == [True, False, True]
    assert len(guests) == 2


def test_dropped_guest_is_not_found() -> None:
    guests = Guests()
    guests.add("key", "a")
    guests.drop("key")
    guests.drop("key")
    assert guests.find("key") is guests.find("") is None


def test_event_can_be_withdrawn_by_whom_it_is_from_and_once() -> None:
    guest, other = Guest("key", "guest-1"), Guest("other", "guest-2")
    guest.add(event(1))
    assert guest.may_withdraw("e1")
    assert not other.may_withdraw("e1")
    guest.withdrawn.add("e1")
    assert not guest.may_withdraw("e1")


def test_events_of_a_guest_are_bounded() -> None:
    guest = Guest("key", "guest-1")
    for number in range(MAX_DONE + 5):
        guest.add(event(number))
        guest.withdrawn.add(f"e{number}")
    assert len(guest.done) == len(guest.withdrawn) == MAX_DONE
    assert not guest.may_withdraw("e0")
