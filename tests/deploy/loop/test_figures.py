"""Figures of the last third, paired leads, and the course over time."""

import math

import pytest

from deploy.loop.figures import PARTS, against, along, last_third
from deploy.loop.split import Split
from inference.evaluation.intervals import NO_TESTS
from tests.deploy.loop.test_split import rated

EVENTS = tuple(rated(at, f"u{at % 4}", "i0") for at in range(60))
SPLIT = Split(EVENTS, start=20, last=40, tests=tuple(range(20, 60)), likes=60, left_out={})


def row(place: int, **others: int) -> dict[str, int]:
    """The same place for every test, but for some."""
    return {event.id: place for event in EVENTS[20:]} | others


def test_last_third_alone_counts() -> None:
    [figures] = last_third(SPLIT, {"ours": row(-1, e20=0, e39=0, e40=0, e41=3, e42=10)}).values()
    assert figures["tests"] == 20
    assert figures["hr10"] == pytest.approx(2 / 20)
    assert figures["ndcg10"] == pytest.approx((1 + 1 / math.log2(5)) / 20)
    assert figures["hr10_interval"]["low"] < figures["hr10"] < figures["hr10_interval"]["high"]


def test_lead_is_taken_on_the_same_likes() -> None:
    ours, other = row(-1, e40=0, e44=0, e45=0), row(-1, e40=0)
    del other["e59"]
    lead = against(SPLIT, ours, {"other": other})["other"]
    assert lead["tests"] == 19
    assert lead["mean"] == lead["hr10"]["mean"] == pytest.approx(2 / 19)
    assert lead["low"] <= lead["mean"] <= lead["high"]
    assert (lead["low"], lead["high"]) == (lead["hr10"]["low"], lead["hr10"]["high"])


def test_lead_is_by_rank_too() -> None:
    lead = against(SPLIT, row(0), {"other": row(9)})["other"]
    assert lead["mean"] == 0.0
    assert lead["ndcg10"]["mean"] == pytest.approx(1 - 1 / math.log2(11))


def test_no_interval_is_invented_without_tests() -> None:
    lead = against(SPLIT, row(0), {"other": {}})["other"]
    assert (lead["low"], lead["high"], lead["no_interval"]) == (None, None, NO_TESTS)


def test_course_has_a_value_for_each_part_with_tests() -> None:
    found = along(SPLIT, {"ours": row(-1, e20=0, e59=0)})
    assert len(found["edges"]) == PARTS + 1
    assert sum(found["tests"]) == 40
    course = found["hr10"]["ours"]
    assert course[:6] == [None] * 6, "history"
    assert course[6] == 1.0, "one test, in 30-35%"
    assert course[-1] == pytest.approx(1 / 3)
    assert all(value == 0.0 for value in course[7:-1])
