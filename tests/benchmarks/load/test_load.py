"""The latency figures and charts of the load tests."""

import argparse
import json
from itertools import islice
from xml.etree import ElementTree

import pytest

from schemas.events import Event
from schemas.recommendations import Degraded, Recommendation
from tests.benchmarks.load.catch_up import catch_up, value_at
from tests.benchmarks.load.driving import Answers, events
from tests.benchmarks.load.knee import holds
from tests.benchmarks.load.plot import Line, chart
from tests.benchmarks.load.polling import PAGES, waits


def asked(source: list[Event], *users: str) -> list[Event]:
    """One event for each name, in order."""
    return [Event(id=f"e{n}", user=user, kind=source[0].kind, ts=1, item="film-1") for n, user in enumerate(users)]


def made(event: Event, degraded: Degraded | None = None) -> Recommendation:
    return Recommendation(
        id="r", user=event.user, scene="home", ts=1, trigger=event.id, partition=0, offset=0, entries=(),
        degraded=degraded, freshness_ms=1.0, took_ms=1.0,
    )  # fmt: skip


def test_list_answers_its_event_and_earlier_ones_of_the_user() -> None:
    ann, other, again, later = asked(list(islice(events(5, 5, 0), 1)), "ann", "bob", "ann", "ann")
    answers = Answers()
    for at, event in enumerate((ann, other, again, later)):
        answers.due(event, float(at))
    answers.take(made(again), 10.0)
    assert answers.waits == [10.0, 8.0]
    assert answers.unanswered == 2
    answers.take(made(ann), 11.0)  # a repeated or older list answers nothing more
    assert answers.lists == 1
    answers.take(made(other, Degraded.DEADLINE), 12.0)
    answers.take(made(later), 12.0)
    assert (answers.lists, answers.degraded, answers.unanswered) == (3, 1, 0)
    assert answers.wait(0.5) == 10.0
    assert not holds(answers, 20.0)
    answers.degraded = 0
    assert holds(answers, 20.0)
    assert not holds(answers, 5.0)


def test_unanswered_events_count_as_never() -> None:
    (ann,) = asked(list(islice(events(5, 5, 0), 1)), "ann")
    answers = Answers()
    answers.due(ann, 0.0)
    assert answers.wait(0.5) == float("inf")


def test_seed_determines_the_events() -> None:
    first, second = (list(islice(events(100, 50, 3, ts=7), 200)) for _ in range(2))
    assert first == second
    assert len({event.user for event in first}) > 20


def test_chart_draws_all_finite_points() -> None:
    drawn = chart(
        "waits", [1.0, 10.0, 100.0], [Line("p50", [1.0, 2.0, float("inf")]), Line("none", [float("inf")] * 3)]
    )
    tree = ElementTree.fromstring(drawn)
    lines = [part for part in tree.iter() if part.get("class") == "line"]
    assert len(lines) == 1
    assert lines[0].get("d", "").count("L") == 1
    assert "waits" in drawn


def test_probe_counts_from_the_first_success_and_failures_as_never() -> None:
    polls = [("/healthz", 0.1, 0), ("/healthz", 0.3, 200), ("/metrics", 9.0, 200), ("/healthz", 0.2, 200)]
    lines = [json.dumps(poll) for poll in polls]
    assert waits(lines, "/healthz") == [0.2, 0.3]
    lines.append(json.dumps(("/healthz", 0.1, 429)))
    assert waits(lines, "/healthz") == [0.2, 0.3, float("inf")]
    assert waits(lines, "/readyz") == []


def test_shares_of_answers_are_computed() -> None:
    hundred = [float(n) for n in range(100)]
    assert [value_at(hundred, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 99.0]
    assert value_at([], 0.5) == float("inf")


@pytest.mark.alone
@pytest.mark.kafka
async def test_small_catch_up_run_completes() -> None:
    asked = argparse.Namespace(broker="embedded", people=20, past=10, waiting=400)
    found = await catch_up(asked)
    assert found["waiting"] == 400
    assert all(0 < found["answers"][page]["p50_ms"] < 60_000 for page in PAGES)
