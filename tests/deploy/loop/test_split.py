"""Which events are history, and which likes judge lists."""

from deploy.loop.split import FIRST, UNKNOWN, Split, split
from inference.evaluation.protocol import SEEN, WARM_UP
from schemas.events import Event, EventKind
from schemas.items import Item

ITEMS = tuple(Item(id=f"i{n}", title=f"Film {n}") for n in range(5))


def rated(at: int, user: str, item: str, value: float = 5.0) -> Event:
    return Event(id=f"e{at}", user=user, kind=EventKind.RATE, item=item, value=value, ts=1_000 * at)


def of(*rows: tuple[str, str, float], start: float = 1 / 3) -> Split:
    return split([rated(at, *row) for at, row in enumerate(rows)], ITEMS, start)


def test_likes_after_the_history_with_a_list_before_them_are_tests() -> None:
    made = of(
        ("a", "i0", 5.0),
        ("b", "i0", 5.0),
        ("a", "i1", 5.0),  # a's first live event: no list yet
        ("a", "i2", 4.0),
        ("a", "i3", 3.0),  # no like
        ("b", "i1", 2.0),
    )
    assert (made.start, made.last) == (2, 4)
    assert made.tests == (3,)
    assert made.judged == ()
    assert made.left_out == {WARM_UP: 2, SEEN: 0, UNKNOWN: 0, FIRST: 1}
    assert made.likes == 4
    assert [event.id for event in made.history] == ["e0", "e1"]
    assert [event.id for event in made.live] == ["e2", "e3", "e4", "e5"]


def test_met_and_unknown_items_judge_nothing() -> None:
    made = of(
        ("a", "i0", 1.0),
        ("b", "i0", 5.0),
        ("a", "i1", 1.0),
        ("a", "i0", 5.0),  # met in the history
        ("a", "i9", 5.0),  # not in the catalogue
        ("a", "i2", 5.0),
    )
    assert made.tests == made.judged == (5,)
    assert made.left_out == {WARM_UP: 1, SEEN: 1, UNKNOWN: 1, FIRST: 0}


def test_every_like_is_a_test_or_left_out() -> None:
    made = of(*((user, f"i{n % 6}", float(n % 5 + 1)) for n in range(60) for user in "abc"))
    assert len(made.tests) + sum(made.left_out.values()) == made.likes


def test_offline_methods_see_live_events_in_the_times_of_a_pass() -> None:
    made = of(*(("a", f"i{n}", 5.0) for n in range(6)))
    sent = made.sent(seconds=2.0, after_ms=10)
    assert [event.ts for event in sent.events] == [0, 1_000, 1_010, 1_510, 2_010, 2_510]
    assert [event.id for event in sent.events] == [event.id for event in made.events]
    assert (sent.tests, sent.start, sent.last) == (made.tests, made.start, made.last)
