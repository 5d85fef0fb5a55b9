"""A like judges the last list of its person, and only that."""

import numpy as np
import pytest

from schemas.events import Event, EventKind
from streams.metrics import HITS, Metrics
from streams.ranking.blend import Remembered
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Judge, Last

REMEMBERED = Remembered(np.zeros(0, np.uint64), np.zeros((0, 0), np.float16), None)
COMPARED = Compared(("film-1", "film-2"), ("film-2", "film-3"), ("film-9",))
LAST = Last("home", COMPARED, REMEMBERED)


def like(item: str | None, user: str = "ann", kind: EventKind = EventKind.LIKE, value: float | None = None) -> Event:
    return Event(id="e", user=user, kind=kind, ts=0, item=item, value=value)


def hits(metrics: Metrics) -> list[float]:
    return [metrics.hits.labels(of)._value.get() for of in HITS]


def judged(metrics: Metrics) -> float:
    return float(metrics.judged._value.get())


@pytest.mark.parametrize(
    ("item", "expected"),
    [("film-1", [1, 0, 0]), ("film-2", [1, 1, 0]), ("film-9", [0, 0, 1]), ("film-4", [0, 0, 0])],
)
def test_a_like_counts_for_each_that_would_have_had_it(item: str, expected: list[float]) -> None:
    metrics = Metrics()
    judge = Judge(metrics)
    judge.keep("ann", LAST, 0)
    assert judge.judge(like(item)) is LAST
    assert (judged(metrics), hits(metrics)) == (1, expected)


@pytest.mark.parametrize(
    "event",
    [
        like("film-1", user="bob"),
        like("film-1", kind=EventKind.VIEW),
        like("film-1", kind=EventKind.DISMISS),
        like("film-1", kind=EventKind.RATE, value=1.0),
        like(None, kind=EventKind.STEER),
    ],
)
def test_nothing_else_judges(event: Event) -> None:
    metrics = Metrics()
    judge = Judge(metrics)
    judge.keep("ann", LAST, 0)
    assert judge.judge(event) is None
    assert (judged(metrics), hits(metrics)) == (0, [0, 0, 0])


def test_list_outside_the_sample_teaches_and_is_not_counted() -> None:
    metrics = Metrics()
    judge = Judge(metrics)
    plain = LAST._replace(compared=None)
    judge.keep("ann", plain, 0)
    assert judge.judge(like("film-1")) is plain
    assert (judged(metrics), hits(metrics)) == (0, [0, 0, 0])


def test_the_newest_list_counts_and_those_served_long_ago_go() -> None:
    judge = Judge(Metrics(), most=2)
    newer = LAST._replace(scene="cart")
    judge.keep("ann", LAST, 0)
    judge.keep("bob", LAST, 0)
    judge.keep("ann", newer, 0)
    judge.keep("eve", LAST, 0)
    assert judge.judge(like("film-1")) is newer
    assert judge.judge(like("film-1", user="bob")) is None


def test_a_dropped_list_is_judged_no_more() -> None:
    judge = Judge(Metrics())
    judge.keep("ann", LAST, 0)
    assert judge.drop("ann")
    assert not judge.drop("ann")
    assert judge.judge(like("film-1")) is None


def test_nobody_of_a_lost_partition_is_judged() -> None:
    judge = Judge(Metrics())
    judge.keep("ann", LAST, 0)
    judge.keep("bob", LAST, 1)
    judge.forget(0)
    assert (judge.drop("ann"), judge.drop("bob")) == (False, True)
