"""The verdict finds lost, duplicate and changed events, missing dead letters and missing lists, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from streams.fold.context import EMPTY, MAX_RECENT, Context, fold
from tests.faults.verdict import (
    Accepted,
    Answer,
    Folds,
    Made,
    Outage,
    Rows,
    Span,
    Verdict,
    due,
    folds,
    miscounted,
    quantiles,
    rows_of,
    together,
    unanswered,
    without_role,
    wrong_letters,
)

NOW = 1_700_000_000_000
GOOD = Verdict(
    accepted=9, lost=0, folded_twice=0, differing=0, miscounted=0, refused=2, wrong_letters=0, without_list=0
)


def event(number: int, kind: EventKind = EventKind.LIKE) -> Event:
    extra: dict[str, Any] = {EventKind.STEER: {"text": "more westerns"}, EventKind.FORGET: {"target": "e0"}}.get(
        kind, {"item": f"film-{number % 7}"}
    )
    return Event(id=f"e{number}", user="ann", kind=kind, ts=NOW, scene="home", **extra)


def folded(numbers: list[int]) -> Context:
    context = EMPTY
    for offset, number in enumerate(numbers):
        context = fold(context, event(number), offset)
    return context


@given(st.lists(st.integers(0, 1_000), max_size=120, unique=True))
def test_equal_contexts_have_no_difference(numbers: list[int]) -> None:
    assert folds({"ann": folded(numbers)}, {"ann": folded(numbers)}) == Folds(0, 0, 0)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=120, unique=True), st.data())
def test_lost_event_is_found_at_any_age(numbers: list[int], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(numbers) - 1))
    found = folds({"ann": folded(numbers)}, {"ann": folded(numbers[:gone] + numbers[gone + 1 :])})
    assert (found.lost, found.twice, found.differing) == (1, 0, 1)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=2 * MAX_RECENT, unique=True))
def test_event_folded_twice_is_found_at_any_age(numbers: list[int]) -> None:
    # As if the stamp and the ids had been lost in between.
    once = folded(numbers)
    again = fold(replace_stamp(once), event(numbers[0]), 10_000)
    found = folds({"ann": once}, {"ann": again})
    assert found.twice >= 1
    assert found.differing == 1


def replace_stamp(context: Context) -> Context:
    return Context(scenes=context.scenes, seen=context.seen, steers=context.steers, ts=context.ts)


def test_missing_user_has_lost_all_events() -> None:
    assert folds({"ann": folded([1, 2, 3])}, {}) == Folds(3, 0, 1)
    assert folds({}, {"ann": folded([1])}).differing == 1


def test_lost_steering_is_found_without_an_item() -> None:
    steered = fold(folded([1, 2]), event(3, EventKind.STEER), 5)
    assert folds({"ann": steered}, {"ann": folded([1, 2])}).lost == 1


def test_items_counted_too_often_or_too_rarely_are_found() -> None:
    assert miscounted({"a": 2, "b": 3}, {"a": 2, "b": 3}) == 0
    assert miscounted({"a": 2, "b": 3, "c": 1}, {"a": 3, "b": 2}) == 3


def test_missing_incomplete_and_unexpected_letters_are_found() -> None:
    refused = {(0, 1): b"x", (0, 2): None}
    assert len(wrong_letters(refused, [((0, 1), b"x"), ((0, 2), None), ((0, 2), None)])) == 0
    assert len(wrong_letters(refused, [((0, 1), b"x")])) == 1
    assert len(wrong_letters(refused, [((0, 1), b"y"), ((0, 2), None), ((1, 1), b"good")])) == 2


def accepted(offset: int, at: float, user: str = "ann") -> Accepted:
    return Accepted(user, (0, offset), at)


def answer(offset: int, at: float, user: str = "ann") -> Answer:
    return Answer(user, (0, offset), at)


def test_list_answers_its_event_and_earlier_ones() -> None:
    events = [accepted(1, 0.0), accepted(2, 0.5), accepted(9, 3.0, "bob")]
    assert unanswered(events, [answer(2, 1.0), answer(9, 4.0, "bob")], [], 2.0) == []
    assert unanswered(events, [answer(1, 1.0), answer(9, 4.0, "bob")], [], 2.0) == [events[1]]
    assert unanswered(events, [answer(2, 1.0)], [], 2.0) == [events[2]]


def test_late_list_is_no_answer_but_one_of_a_later_event_is() -> None:
    assert unanswered([accepted(1, 0.0)], [answer(1, 2.5)], [], 2.0) == [accepted(1, 0.0)]
    assert unanswered([accepted(1, 0.0)], [answer(1, 2.5), answer(3, 1.0)], [], 2.0) == []


@pytest.mark.parametrize(
    ("at", "outages", "end"),
    [
        (10.0, [], 12.0),
        (10.0, [Outage(0.0, 9.0)], 12.0),
        (10.0, [Outage(9.0, 20.0)], 22.0),
        (10.0, [Outage(11.0, 20.0)], 22.0),
        (10.0, [Outage(13.0, 20.0)], 12.0),
        (10.0, [Outage(21.0, 30.0), Outage(11.0, 20.0)], 32.0),
    ],
)
def test_deadline_counts_from_the_end_of_an_outage(at: float, outages: list[Outage], end: float) -> None:
    assert due(at, outages, 2.0) == end


def test_broken_promises_are_all_reported() -> None:
    assert GOOD.broken() == ()
    for name in ("lost", "folded_twice", "differing", "miscounted", "wrong_letters", "without_list"):
        (sentence,) = replace(GOOD, **{name: 3}).broken()
        assert sentence.startswith("3 ")


def test_figures_of_runs_are_summed() -> None:
    assert together([]).accepted == 0
    assert together([GOOD, replace(GOOD, lost=1)]) == replace(GOOD, accepted=18, refused=4, lost=1)
    assert quantiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "max": 3.0}
    assert quantiles([]) == {"p50": 0.0, "max": 0.0}


def test_rows_are_compared_with_the_records_by_place() -> None:
    records = {(0, 1): "a", (0, 2): "b", (1, 1): "c"}
    none: frozenset[tuple[int, int]] = frozenset()
    assert rows_of(records, records.items()) == Rows(none, none, none)
    missing, twice, foreign, changed = (0, 2), (1, 1), (3, 3), (0, 1)
    rows = [(changed, "other"), (twice, "c"), (twice, "c"), (foreign, "d")]
    assert rows_of(records, rows) == Rows(frozenset({missing}), frozenset({twice}), frozenset({foreign, changed}))


def test_list_is_by_a_version_with_a_role_between_its_event_and_its_arrival() -> None:
    spans = {"one": [Span(0.0, 10.0), Span(30.0)], "two": [Span(9.0, 31.0)]}
    good = [Made("one", 5.0, 6.0), Made("one", 9.5, 25.0), Made("one", 40.0, 41.0), Made("two", 8.0, 9.5)]
    assert without_role([*good, Made("two", None, 50.0)], spans) == []
    bad = [Made("one", 15.0, 20.0), Made("two", 5.0, 8.0), Made("two", 35.0, 36.0), Made("three", 5.0, 6.0)]
    assert without_role([*good, *bad], spans) == bad


@pytest.mark.parametrize("count", ["unlogged", "logged_twice", "wrong_rows", "wrong_versions"])
def test_log_and_versions_break_promises(count: str) -> None:
    assert len(replace(GOOD, **{count: 1}).broken()) == 1
    assert getattr(together([GOOD, replace(GOOD, **{count: 2}), replace(GOOD, **{count: 3})]), count) == 5
