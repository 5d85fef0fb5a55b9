"""What the lists of a pass were worth, and how lost, late and degraded ones are counted."""

import msgspec

from deploy.loop.judging import NO_VERSION, Account
from schemas.events import Event, EventKind
from schemas.recommendations import Degraded, Recommendation
from tests.deploy.replay.test_judge import published


def liked(number: int, user: str, item: str) -> Event:
    return Event(id=f"e{number}", user=user, kind=EventKind.RATE, item=item, value=5.0, ts=number)


def made(trigger: int, user: str, *items: str, ms: float = 10.0, **more: object) -> Recommendation:
    plain = published(user, *items)
    return msgspec.structs.replace(plain, trigger=f"e{trigger}", freshness_ms=ms, **more)


def account(*tests: int) -> Account:
    return Account({f"e{number}" for number in tests}, deadline_ms=1_000.0)


def test_like_is_judged_by_the_newest_list_before_it() -> None:
    ours = account(1, 2)
    ours.about_to_send(liked(0, "a", "i0"))
    assert ours.published(made(0, "a", "i5", "i1"))
    ours.about_to_send(liked(1, "a", "i1"))
    assert ours.published(made(1, "a", "i2"))
    ours.about_to_send(liked(2, "a", "i1"))
    assert ours.places == {"e1": 1, "e2": -1}
    assert ours.hits == 1


def test_first_ten_entries_count() -> None:
    ours = account(1, 2)
    ours.about_to_send(liked(0, "a", "i0"))
    ours.published(made(0, "a", *(f"i{n}" for n in range(12))))
    ours.about_to_send(liked(1, "a", "i9"))
    ours.published(made(1, "a", *(f"i{n}" for n in range(12))))
    ours.about_to_send(liked(2, "a", "i10"))
    assert ours.places == {"e1": 9, "e2": -1}


def test_lists_of_other_users_judge_nothing() -> None:
    ours = account(1)
    ours.about_to_send(liked(0, "b", "i0"))
    ours.published(made(0, "b", "i1"))
    ours.about_to_send(liked(1, "a", "i1"))
    assert ours.places == {"e1": -1}
    assert ours.without_list == 1


def test_older_list_that_comes_later_does_not_replace_a_newer_one() -> None:
    ours = account(2)
    ours.about_to_send(liked(0, "a", "i0"))
    ours.about_to_send(liked(1, "a", "i1"))
    ours.published(made(1, "a", "i2"))
    ours.published(made(0, "a", "i3"))
    ours.about_to_send(liked(2, "a", "i2"))
    assert ours.places == {"e2": 0}
    assert ours.lists == 2


def test_lost_late_degraded_and_foreign_lists_are_counted() -> None:
    ours = account()
    for number in range(4):
        ours.about_to_send(liked(number, "a", "i0"))
    ours.published(made(0, "a", "i1", ms=1_000.0, model_version="m1"))
    ours.published(made(1, "a", "i1", ms=1_000.1, degraded=Degraded.DEADLINE))
    assert not ours.published(made(1, "a", "i1")), "a repeat"
    assert not ours.published(made(9, "a", "i1")), "answers no event of this pass"
    ours.published(made(2, "a", "i1", model_version="m1"))
    assert (ours.sent, ours.lists, ours.lost, ours.late, ours.foreign) == (4, 3, 1, 1, 1)
    assert ours.degraded == {"deadline": 1}
    assert ours.versions == {"m1": 2, NO_VERSION: 1}
    assert ours.event_to_list.count == 3
