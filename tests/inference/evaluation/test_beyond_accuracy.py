"""Properties of whole lists, on examples small enough to check by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.baselines import Popularity
from inference.evaluation.beyond_accuracy import PROPERTIES, SMOOTHING, ListProperties, short_head
from inference.evaluation.console_report import LISTS
from inference.evaluation.metrics import About, summary
from inference.evaluation.protocol import Rule, Step, leave_last_out, prequential
from inference.evaluation.runner import Named, Outcome, Scored, run
from schemas.events import Event, EventKind
from schemas.items import Item

ITEMS = (
    Item(id="a", title="A", attributes=("war",)),
    Item(id="b", title="B", attributes=("war", "love")),
    Item(id="c", title="C", attributes=("love",)),
    Item(id="d", title="D"),
)
VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)


def event(n: int, user: str, item: str, kind: EventKind = EventKind.LIKE) -> Event:
    return Event(id=f"e{n}", user=user, item=item, kind=kind, ts=1_000 * n)


def liked(one: Event) -> bool:
    return one.kind is EventKind.LIKE


def measured(events: Sequence[Event], at: int, *lists: Sequence[str], hidden: frozenset[str] = frozenset()):
    """The properties of lists for the user of event `at`, after the events before it."""
    steps = [Step(n, n == at, True) for n in range(len(events))]
    found = ListProperties(ITEMS, VECTORS, events, steps, liked)
    for n, one in enumerate(events[:at]):
        first = (one.user, one.item) not in {(past.user, past.item) for past in events[:n]}
        found.learn(one, liked(one), first)
    found.ask(at, events[at].user, hidden)
    for number, ids in enumerate(lists):
        found.judge(str(number), ids)
    rows = [found.found.values[str(number)][0] for number in range(len(lists))]
    return [dict(zip(PROPERTIES, row.tolist(), strict=True)) for row in rows], found.found


def test_relevant_is_what_the_user_likes_from_the_test_on_and_the_list_may_show():
    events = [event(0, "ann", "d"), event(1, "ann", "a"), event(2, "bob", "b"), event(3, "ann", "b", EventKind.VIEW)]
    events += [event(4, "ann", "c"), event(5, "ann", "d")]
    (row,), _ = measured(events, 1, ["a", "b", "c"], hidden=frozenset("d"))
    assert row["precision10"] == pytest.approx(0.2)  # a now and c later; not b, which only bob likes
    assert row["recall10"] == 1.0
    assert row["f1_10"] == pytest.approx(2 * 0.2 / 1.2)


def test_diversity_is_the_mean_distance_of_pairs():
    rows, _ = measured([event(0, "ann", "a")], 0, ["a", "b"], ["a", "c"], ["a", "b", "c"], ["a"], ["a", "d"])
    assert [row["diversity"] for row in rows] == pytest.approx([0.0, 1.0, 2 / 3, math.nan, 1.0], nan_ok=True)


def test_novelty_counts_users_who_have_met_an_item():
    events = [event(0, "ann", "a"), event(1, "bob", "a"), event(2, "bob", "a"), event(3, "cyd", "b")]
    rows, _ = measured([*events, event(4, "ann", "c")], 4, ["a"], ["b"], ["c"], ["a", "c"])
    assert [row["novelty"] for row in rows] == pytest.approx([math.log2(4 / 3), 1.0, 2.0, (math.log2(4 / 3) + 2) / 2])


def test_long_tail_is_outside_the_items_with_most_meetings():
    assert short_head(np.array([1, 7, 2, 0])).tolist() == [False, True, True, False]
    assert short_head(np.array([0, 0])).tolist() == [False, False]
    events = [event(n, f"u{n}", "a") for n in range(4)] + [event(4, "ann", "b"), event(5, "ann", "c")]
    rows, _ = measured(events, 5, ["a"], ["a", "b"], ["c", "d"])
    assert [row["long_tail"] for row in rows] == [0.0, 0.5, 1.0]


def test_miscalibration_is_the_divergence_from_the_users_likes():
    events = [event(0, "ann", "a"), event(1, "ann", "c"), event(2, "ann", "d"), event(3, "ann", "b")]
    rows, _ = measured(events, 3, ["b"], ["a", "c"], ["a"], ["d"], ["a", "d", "c"])
    off = 0.5 * math.log(0.5 / (1 - 0.5 * SMOOTHING)) + 0.5 * math.log(1 / SMOOTHING)
    assert [row["miscalibration"] for row in rows] == pytest.approx(
        [0.0, 0.0, off, math.nan, 0.0], nan_ok=True, abs=1e-6
    )
    (row,), _ = measured([event(0, "ann", "a")], 0, ["a"])
    assert math.isnan(row["miscalibration"]), "without likes there is no taste"


def test_empty_list_has_no_hits_and_no_properties():
    (row,), found = measured([event(0, "ann", "a")], 0, [])
    assert (row["precision10"], row["recall10"], row["f1_10"]) == (0.0, 0.0, 0.0)
    assert all(math.isnan(row[name]) for name in PROPERTIES[3:])
    assert not found.shown["0"].any()


class Lists:
    """Says the same of everybody."""

    def __init__(self, name: str, *ids: str) -> None:
        self.name, self.ids = name, list(ids)

    def rank(self, moment: object, k: int) -> dict[str, list[str]]:
        return {self.name: self.ids, f"signal:{self.name}": ["d"]}

    def learn(self, one: Event, is_like: bool) -> None: ...


def reported(events: Sequence[Event], steps: Sequence[Step], *methods: Lists | Named) -> Outcome:
    properties = ListProperties(ITEMS, VECTORS, events, steps, liked)
    return run(events, steps, methods, likes=liked, items=len(ITEMS), measured=properties)


def test_report_has_the_means_of_the_lists_and_the_coverage():
    events = [event(0, "ann", "a"), event(1, "bob", "a"), event(2, "ann", "c"), event(3, "bob", "b")]
    steps = [Step(0, False, True), Step(1, False, True), Step(2, True, True), Step(3, True, True)]
    outcome = reported(events, steps, Lists("ours", "c", "b"), Lists("none"))
    assert outcome.lists.values.keys() == {"ours", "none"}, "signals are not measured"
    found = summary([outcome], About(rule="r", ours="ours"))
    ours, none = found["methods"]["ours"], found["methods"]["none"]
    assert ours["precision10"]["mean"] == pytest.approx(0.1)
    assert ours["precision10"]["lists"] == 2
    assert ours["coverage"] == {"mean": 0.5, "spread": 0.0}
    assert none["coverage"]["mean"] == 0.0
    assert none["diversity"] == {
        "mean": None, "spread": None, "low": None, "high": None, "no_interval": "no tests", "lists": 0
    }  # fmt: skip
    assert found["against"]["none"]["precision10"]["mean"] == pytest.approx(0.1)
    assert found["against"]["none"]["diversity"]["mean"] is None
    assert {metric for metric, _, _ in LISTS} == {*PROPERTIES, "coverage"}


def test_with_one_relevant_item_precision_recall_and_f1_follow_from_the_hit_ratio():
    events = [event(n, f"u{n % 7}", "abcd"[n * n % 4]) for n in range(40)]
    outcome = reported(events, leave_last_out(events, liked).steps, Named("popularity", Popularity()))
    found = summary([outcome], About(rule="r", ours="popularity"))["methods"]["popularity"]
    hits = found["hr10"]["mean"]
    assert hits > 0
    assert found["precision10"]["mean"] == pytest.approx(hits / 10)
    assert found["recall10"]["mean"] == pytest.approx(hits)
    assert found["f1_10"]["mean"] == pytest.approx(2 * hits / 11)


def test_without_measuring_a_report_has_no_properties():
    events = [event(n, f"u{n % 3}", "abcd"[n % 4]) for n in range(12)]
    plan = prequential(events, liked, Rule(warm_up=0.2, share=1.0))
    outcome = run(events, plan.steps, [Lists("ours", "a")], likes=liked, items=4)
    assert "coverage" not in summary([outcome], About(rule="r", ours="ours"))["methods"]["ours"]


@given(
    st.lists(st.sampled_from([-math.inf, 0.0, 1.0, 2.0]), max_size=9),
    st.integers(1, 9),
    st.integers(0, 8),
    st.floats(0, 1, exclude_max=True),
)
def test_first_items_of_scores_agree_with_the_place_of_the_item(scores, count, own, draw):
    ids = [str(number) for number in range(len(scores))]
    ranked = Scored(np.array(scores), lambda item: int(item) if int(item) < len(ids) else None, ids)
    best = ranked.best(count, str(own), draw)
    assert len(best) == len(set(best)) == min(count, sum(math.isfinite(score) for score in scores))
    values = [scores[int(item)] for item in best]
    assert values == sorted((score for score in scores if math.isfinite(score)), reverse=True)[: len(best)]
    place = ranked.place(str(own), draw)
    if 0 <= place < count:
        assert scores[int(best[place])] == scores[own]
        assert str(own) in best
    else:
        assert str(own) not in best


def test_ties_at_the_end_of_a_list_are_drawn():
    ids = [str(number) for number in range(20)]
    ranked = Scored(np.zeros(20), ids.index, ids)
    shown = {item for draw in range(40) for item in ranked.best(3, "0", draw / 40)}
    assert len(shown) > 15
