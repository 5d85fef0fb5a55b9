"""The protocol and its report, on an example that can be worked out by hand."""

import math

import pytest

from inference.evaluation.floors import Popularity
from inference.evaluation.protocol import DEPTH, Moment, Named, Outcome, Rule, hit_ratio, ndcg, run
from inference.evaluation.report import Paired, summary, table
from schemas.events import Event, EventKind


def event(n: int, user: str, item: str | None, kind: EventKind = EventKind.LIKE) -> Event:
    return Event(id=f"e{n}", user=user, item=item, kind=kind, ts=n, text="x" if item is None else None)


def liked(one: Event) -> bool:
    return one.kind is EventKind.LIKE


class Spy:
    """Ranks what it is told to, and writes down what it is asked and taught."""

    def __init__(self, *lists: list[str]) -> None:
        self.lists = list(lists)
        self.log: list[object] = []

    def rank(self, moment: Moment, k: int) -> dict[str, list[str]]:
        self.log.append((moment, k))
        return {"spy": self.lists.pop(0) if self.lists else []}

    def learn(self, one: Event, is_like: bool) -> None:
        self.log.append((one.id, is_like))


def test_each_test_comes_before_its_event_is_learned_and_names_no_item():
    spy = Spy()
    events = [event(n, "ann", f"i{n}") for n in range(4)]
    outcome = run(events, [spy], likes=liked, rule=Rule(warm_up=0.5, every=1))
    moments = [Moment("ann", "default", n) for n in (2, 3)]
    expected = [("e0", True), ("e1", True), (moments[0], DEPTH), ("e2", True), (moments[1], DEPTH), ("e3", True)]
    assert spy.log == expected
    assert outcome.tests == 2


def test_only_every_nth_like_of_an_item_new_to_the_person_after_the_warm_up_is_a_test():
    events = [
        event(0, "ann", "a"),
        event(1, "ann", "b"),
        event(2, "ann", "c", EventKind.VIEW),  # no like
        event(3, "bob", "a"),
        event(4, "ann", "a"),  # met before
        event(5, "ann", None, EventKind.STEER),
        event(6, "ann", "d"),  # the test
        event(7, "ann", "e"),  # not every second
    ]
    asked = [what[0] for what in run_spy(events, Rule(warm_up=0.2, every=2)).log if isinstance(what[0], Moment)]
    assert [moment.ts for moment in asked] == [6]


def run_spy(events: list[Event], rule: Rule) -> Spy:
    spy = Spy()
    run(events, [spy], likes=liked, rule=rule)
    return spy


def test_the_figures_are_those_worked_out_by_hand():
    events = [event(n, "ann", f"i{n}") for n in range(5)]
    spy = Spy(["i1", "x"], ["x", "i2"], ["x"], [f"x{n}" for n in range(10)] + ["i4"])
    outcome = run(events, [spy], likes=liked, rule=Rule(warm_up=0.2, every=1))
    assert outcome.row("spy") == [0, 1, -1, -1]
    assert hit_ratio(outcome.row("spy")) == 0.5
    assert ndcg(outcome.row("spy")) == pytest.approx((1 + 1 / math.log2(3)) / 4)


def test_a_method_that_is_not_asked_in_a_test_is_judged_on_the_others():
    outcome = Outcome()
    for place in (0, None, -1, None):
        outcome.tests += 1
        outcome.add("all", 2)
        if place is not None:
            outcome.add("some", place)
    assert outcome.row("some") == [0, None, -1, None]
    assert hit_ratio(outcome.row("some")) == 0.5
    assert hit_ratio(outcome.row("nobody")) == ndcg([]) == 0.0


def test_the_report_has_means_spreads_and_pairs():
    outcomes = []
    for places in ([0, 0, -1, -1], [0, 0, 0, -1]):
        one = Outcome()
        for at, place in enumerate(places):
            one.tests += 1
            one.add("m", place)
            if at < 2:
                one.add("with", place)
                one.add("without", -1)
        outcomes.append(one)
    report = summary(outcomes, rule="the rule", notes={"data": "d"}, paired=[Paired("model", "with", "without")])
    found = report["protocols"]["prequential"]
    assert found["methods"] == {
        "m": {"hr10": {"mean": 0.625, "spread": 0.25}, "ndcg10": {"mean": 0.625, "spread": 0.25}}
    }
    assert found["paired"]["model"]["tests"] == [2, 2]
    assert found["paired"]["model"]["with"]["hr10"] == {"mean": 1.0, "spread": 0.0}
    assert found["paired"]["model"]["without"]["hr10"]["mean"] == 0.0
    assert found["tests"] == [4, 4]
    assert table(report).row_count == 4


def test_a_simple_method_takes_part_under_its_name():
    events = [event(n, f"u{n}", "hit") for n in range(4)]
    outcome = run(events, [Named("pop", Popularity())], likes=liked, rule=Rule(warm_up=0.5, every=1))
    assert outcome.row("pop") == [0, 0]


def test_progress_is_told_and_ends_at_the_end():
    told: list[tuple[int, int]] = []
    run([event(n, "ann", f"i{n}") for n in range(3)], [], likes=liked, progress=lambda at, of: told.append((at, of)))
    assert told[-1] == (3, 3)
