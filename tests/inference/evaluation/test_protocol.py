"""The two protocols and the runner, on examples small enough to check by hand."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.baselines import DecayedPopularity, ItemKnn, Markov, Popularity
from inference.evaluation.metrics import About, summary
from inference.evaluation.protocol import DEPTH, Rule, Step, before_tests, leave_last_out, prequential
from inference.evaluation.retrieval import Retrieval, among_unseen, at
from inference.evaluation.runner import (
    BUCKETS,
    Asked,
    Cursor,
    Method,
    Moment,
    Named,
    Outcome,
    Pool,
    Scored,
    run,
)
from schemas.events import Event, EventKind
from schemas.seen import seen_rules

VIEW = EventKind.VIEW


def event(n: int, user: str, item: str | None, kind: EventKind = EventKind.LIKE, ts: int | None = None) -> Event:
    return Event(
        id=f"e{n}", user=user, item=item, kind=kind, ts=n if ts is None else ts, text="x" if item is None else None
    )


def liked(one: Event) -> bool:
    return one.kind is EventKind.LIKE


class Spy:
    """Returns a given ranking, and records its calls."""

    def __init__(self, *lists: list[str]) -> None:
        self.lists = list(lists)
        self.log: list[tuple[Any, ...]] = []

    def rank(self, moment: Moment, k: int) -> dict[str, list[str]]:
        self.log.append((moment, k))
        return {"spy": self.lists.pop(0) if self.lists else []}

    def learn(self, one: Event, is_like: bool) -> None:
        self.log.append((one.id, is_like))


def preq(events: Sequence[Event], *methods: Method, rule: Rule) -> Outcome:
    return run(events, prequential(events, liked, rule).steps, methods, likes=liked)


def test_protocol_tests_each_event_before_learning_it():
    spy = Spy()
    outcome = preq([event(n, "ann", f"i{n}") for n in range(4)], spy, rule=Rule(warm_up=0.5, share=1.0))
    moments = [Moment("ann", "default", n) for n in (2, 3)]
    expected = [("e0", True), ("e1", True), (moments[0], DEPTH), ("e2", True), (moments[1], DEPTH), ("e3", True)]
    assert spy.log == expected
    assert [test.at for test in outcome.tests] == [2, 3]


def test_protocol_tests_only_likes_of_new_items_after_the_warm_up():
    events = [
        event(0, "ann", "a"),
        event(1, "ann", "b"),
        event(2, "ann", "c", VIEW),  # no like
        event(3, "bob", "a"),
        event(4, "ann", "a"),  # met before
        event(5, "ann", None, EventKind.STEER),
        event(6, "ann", "d"),
    ]
    steps = prequential(events, liked, Rule(warm_up=0.3, share=1.0)).steps
    assert [step.at for step in steps if step.test] == [3, 6]
    assert [step.at for step in steps if step.learn] == [0, 1, 2, 3, 4, 6]


DAY = 86_400_000
SHOPPING = [
    event(0, "ann", "a", VIEW, ts=0),
    event(1, "ann", "a", EventKind.PURCHASE, ts=DAY),  # after a view
    event(2, "ann", "a", EventKind.PURCHASE, ts=2 * DAY),  # again
    event(3, "ann", "a", EventKind.PURCHASE, ts=40 * DAY),  # a month later
]


@pytest.mark.parametrize(
    ("again", "kinds", "tests"),
    [
        ("never", "all", []),
        ("never", "purchase", [1]),
        ("30", "all", [3]),
        ("30", "purchase", [1, 3]),
        ("always", "all", [1, 2, 3]),
        ("never, default=always", "all", [1, 2, 3]),
        ("always, other=never", "all", [1, 2, 3]),
    ],
)
def test_seen_rule_decides_which_likes_are_tests(again, kinds, tests):
    def bought(one: Event) -> bool:
        return one.kind is EventKind.PURCHASE

    rules = seen_rules(again, kinds)
    plan = prequential(SHOPPING, bought, Rule(warm_up=0.0, share=1.0), rules)
    assert [step.at for step in plan.steps if step.test] == tests
    assert plan.likes == 3
    assert plan.left_out == {"warm_up": 0, "seen": 3 - len(tests), "not_drawn": 0}
    last = leave_last_out(SHOPPING, bought, rules)
    assert [step.at for step in last.steps if step.test] == tests[-1:]
    assert last.left_out == {"first": 0, "seen": 3 - len(tests), "not_last": max(0, len(tests) - 1)}


def test_likes_are_tests_or_left_out_for_one_reason():
    events = [event(n, f"u{n % 7}", f"i{n % 50}") for n in range(600)]
    for plan in (prequential(events, liked), leave_last_out(events, liked)):
        assert sum(step.test for step in plan.steps) + sum(plan.left_out.values()) == plan.likes == 600


def test_methods_rank_all_items_but_the_hidden():
    popularity = Popularity()
    popularity.offer("ab")
    rules = seen_rules("never", "purchase")
    steps = prequential(SHOPPING, liked, Rule(warm_up=0.0, share=1.0), rules).steps
    spy = Spy()
    like = event(9, "ann", "b", ts=50 * DAY)
    steps = [*steps, Step(4, True, True)]
    run([*SHOPPING, like], steps, [spy, Named("popularity", popularity)], likes=liked, items=2, seen=rules)
    (moment,) = [one[0] for one in spy.log if isinstance(one[0], Moment)]
    assert moment.hidden == frozenset("a")
    viewed = Popularity()
    viewed.learn("ann", "a", False)
    assert viewed.order("ann").place("a", 0.0) == -1
    assert viewed.order("ann", hidden=frozenset()).place("a", 0.0) == 0


def test_interleaved_users_are_all_tested():
    events = [event(n, f"u{n % 4}", f"i{n}") for n in range(4_000)]
    tested = [events[step.at].user for step in prequential(events, liked, Rule(warm_up=0.0)).steps if step.test]
    assert set(tested) == {"u0", "u1", "u2", "u3"}
    assert 0.22 < len(tested) / len(events) < 0.28
    assert all(0.15 < tested.count(user) / 1_000 < 0.35 for user in set(tested))


@given(st.randoms(use_true_random=False))
def test_test_selection_depends_only_on_the_event_and_the_tie_seed(random):
    events = [event(n, f"u{n % 3}", f"i{n}", ts=5) for n in range(60)]
    shuffled = [event(900 + n, one.user, one.item, ts=one.ts) for n, one in enumerate(events)]  # rows of another file
    random.shuffle(shuffled)

    def tested(stream: Sequence[Event], seed: int) -> set[str | None]:
        return {stream[step.at].item for step in prequential(stream, liked, Rule(0.0, seed=seed)).steps if step.test}

    assert tested(events, 0) == tested(shuffled, 0) != tested(events, 1)


def test_popularity_is_at_chance_when_items_arrive_in_catalogue_order():
    """Without other likes all remaining items tie, so breaking ties by index would predict the next item."""
    events = [event(n, "ann", f"i{n}") for n in range(400)]
    popularity = Popularity()
    popularity.offer([f"i{n}" for n in range(400)])
    steps = prequential(events, liked, Rule(share=1.0)).steps
    outcome = run(events, steps, [Named("popularity", popularity)], likes=liked, items=400)
    found = summary([outcome], About(rule="r", ours="none"))["methods"]["popularity"]["hr10"]["mean"]
    chance = np.mean([min(1.0, DEPTH / test.left) for test in outcome.tests])
    assert abs(found - chance) < 0.06, (found, chance)  # 320 tests: three standard errors


def test_ties_are_broken_the_same_for_every_method():
    events = [event(n, "ann", f"i{n}") for n in range(40)]
    methods = [Popularity(), ItemKnn()]
    for method in methods:
        method.offer([f"i{n}" for n in range(40)])
    named = [Named(str(number), method) for number, method in enumerate(methods)]
    outcome = run(events[:1], [Step(0, True, True)] * 1, named, likes=liked, seed=3)
    assert outcome.row("0") == outcome.row("1")


def test_leave_last_out_learns_all_events_before_each_users_last_like():
    events = [
        event(0, "ann", "a"),
        event(1, "ann", "b"),  # ann's last like of an item new to her
        event(2, "ann", "a"),  # not new
        event(3, "ann", "c", VIEW),
        event(4, "bob", "b"),  # nothing before it: no test
        event(5, "bob", "c", VIEW),
        event(6, "cy", "a", VIEW),
        event(7, "cy", "b"),
        event(8, "cy", "c"),  # cy's
        event(9, "bob", None, EventKind.STEER),
    ]
    steps = leave_last_out(events, liked).steps
    assert [step.at for step in steps if step.learn] == [0, 4, 5, 6, 7]
    assert [step.at for step in steps if step.test] == [1, 8]
    assert not any(step.test and step.learn for step in steps)
    spy = Spy()
    run(events, steps, [spy], likes=liked)
    assert spy.log[-2:] == [(Moment("ann", "default", 9), DEPTH), (Moment("cy", "default", 9), DEPTH)]


STREAMS = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcde"), st.booleans(), st.integers(0, 6)), max_size=30
)


@given(STREAMS, st.randoms(use_true_random=False))
def test_leave_last_out_learns_nothing_of_a_test_in_any_order_of_ties(rows, random):
    events = [
        event(n, user, item, EventKind.LIKE if like else VIEW, 400 * t) for n, (user, item, like, t) in enumerate(rows)
    ]
    streams, tests = [], []
    for _ in range(2):
        random.shuffle(events)
        stream = sorted(events, key=lambda one: one.ts)
        steps = leave_last_out(stream, liked).steps
        asked = {stream[step.at].user: step.at for step in steps if step.test}
        assert len(asked) == sum(step.test for step in steps)
        for step in steps:
            assert not step.learn or step.at < asked.get(stream[step.at].user, len(stream))
        streams.append(stream)
        tests.append(list(asked.values()))
    kept = before_tests(streams, tests)
    for stream, places in zip(streams, tests, strict=True):
        for place in places:
            theirs = [one for one in kept if one.user == stream[place].user]
            assert all(one.ts // 1000 < stream[place].ts // 1000 for one in theirs)
    tested = {stream[place].user for stream, places in zip(streams, tests, strict=True) for place in places}
    assert [one for one in kept if one.user not in tested] == [one for one in streams[0] if one.user not in tested]


def test_metrics_match_a_calculation_by_hand():
    events = [event(n, "ann", f"i{n}") for n in range(5)]
    spy = Spy(["i1", "x"], ["x", "i2"], ["x"], [f"x{n}" for n in range(10)] + ["i4"])
    outcome = preq(events, spy, rule=Rule(warm_up=0.2, share=1.0))
    assert outcome.row("spy") == [0, 1, -1, 10]
    figures = summary([outcome], About(rule="r"))["methods"]["spy"]
    assert figures["hr10"]["mean"] == 0.5
    assert figures["ndcg10"]["mean"] == pytest.approx((1 + 1 / math.log2(3)) / 4)


def test_method_skipped_in_a_test_is_judged_on_the_others():
    outcome = Outcome(events=4)
    for number, place in enumerate((0, None, -1, None)):
        outcome.tests.append(Asked(number, "ann", number, 5))
        outcome.add("all", 2)
        if place is not None:
            outcome.add("some", place)
    assert outcome.row("some") == [0, None, -1, None]
    figures = summary([outcome], About(rule="r", ours="some"))
    assert figures["methods"]["some"]["hr10"]["mean"] == 0.5
    assert figures["against"]["all"]["hr10"]["mean"] == -0.5  # on the two that both were asked


@pytest.mark.parametrize(
    ("likes", "bucket"), [(0, "0-2"), (2, "0-2"), (3, "3-9"), (9, "3-9"), (10, "10-30"), (31, "31+")]
)
def test_users_are_grouped_by_their_likes(likes, bucket):
    assert Asked(0, "ann", likes, 1).bucket == bucket
    assert list(BUCKETS) == ["0-2", "3-9", "10-30", "31+"]


@given(st.lists(st.sampled_from([-math.inf, 0.0, 1.0, 2.0]), max_size=8))
def test_rank_by_score_is_random_among_ties(scores):
    array = np.array(scores, np.float32)
    ranked = Scored(array, lambda item: int(item) if item.isdecimal() else None, [str(at) for at in range(len(scores))])
    for number, score in enumerate(scores):
        better, level = sum(other > score for other in scores), scores.count(score)
        expected = list(range(better, better + level)) if np.isfinite(score) else [-1] * level
        assert [ranked.place(str(number), (at + 0.5) / level) for at in range(level)] == expected
    assert ranked.place("nothing", 0.0) == ranked.place("99", 0.0) == -1


def test_candidate_set_counts_towards_recall_only():
    class Candidates:
        def rank(self, moment: Moment, k: int) -> Mapping[str, Pool]:
            return {"pool": Pool(frozenset({"i1", "i9"}))}

        def learn(self, one: Event, is_like: bool) -> None: ...

    outcome = preq([event(n, "ann", f"i{n}") for n in range(3)], Candidates(), rule=Rule(warm_up=0.3, share=1.0))
    found = summary([outcome], About(rule="r"))
    assert found["recall"]["pool"] == {"recall": pytest.approx(1 / 3), "size": 2.0}
    assert found["methods"] == {}


def test_model_scores_the_current_step_without_seen_items():
    class Fixed:
        tokens = 7.0

        def __init__(self, rows: Mapping[int, list[float]]) -> None:
            self.rows, self.asked = rows, list[int]()

        def scores(self, event_index: int) -> np.ndarray | None:
            self.asked.append(event_index)
            row = self.rows.get(event_index)
            return None if row is None else np.array(row, np.float32)

        def unseen(self, event_index: int) -> np.ndarray:
            return np.zeros(3, bool)

    events = [event(n, "ann", item) for n, item in enumerate("abc")]
    cursor, along = Cursor(), Fixed({2: [9.0, 8.0, 1.0]})
    steps = prequential(events, liked, Rule(warm_up=0.0, share=1.0)).steps
    outcome = run(events, steps, [Retrieval("scorer", at(cursor, along), "abc")], likes=liked, cursor=cursor)
    assert along.asked == [0, 1, 2]
    assert outcome.row("scorer") == [None, None, 0]
    tests = Fixed({2: [1.0, 2.0, 0.5]})
    ask = at(cursor, along, tests)
    for test, first in ((True, 1.0), (False, 9.0)):
        cursor.at, cursor.test = 2, test
        scores = ask()
        assert scores is not None
        assert scores[0] == first


def test_unseen_items_are_compared_only_with_each_other():
    class Fixed:
        tokens = 1.0

        def scores(self, event_index: int) -> np.ndarray | None:
            return None if event_index == 1 else np.array([9.0, 3.0, 1.0, 2.0, 2.0, 5.0], np.float32)

        def unseen(self, event_index: int) -> np.ndarray:
            return np.array([False, True, True, True, True, True])

    users = ["ann", "bob", "ann", "bob"]
    events = [event(n, user, item) for n, (user, item) in enumerate(zip(users, "fadd", strict=True))]
    # Before event 2 Ann met f; of a to f, all but a are unseen. d is above c, level with e and below b.
    assert among_unseen(Fixed(), events, [2], "abcdef") == [pytest.approx(0.5)]
    # Bob met a, which is no rival anyway; f is one, and above.
    assert among_unseen(Fixed(), events, [3], "abcdef") == [pytest.approx(1.5 / 4)]
    assert among_unseen(Fixed(), events, [1], "abcdef") == []


class Prophet(Popularity):
    """Popularity over the whole stream, including later events: the most common leak."""

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__()
        self._events = events

    def offer(self, items: Sequence[str]) -> None:
        super().offer(items)
        for one in self._events:
            self._count(one.user, self._number(one.item or ""), liked(one), one.ts)


def peeks(make: Callable[[Sequence[Event]], Any], events: Sequence[Event], cut: int) -> bool:
    """Whether events after the first `cut` change any earlier ranking."""
    items = sorted({one.item or "" for one in events})
    other = [
        *events[:cut],
        *(event(900 + n, one.user, items[-1 - n % len(items)]) for n, one in enumerate(events[cut:])),
    ]
    rows = []
    for stream in (events, other):
        method = make(stream)
        method.offer(items)
        steps = [step for step in prequential(stream, liked, Rule(warm_up=0.0, share=1.0)).steps if step.at < cut]
        rows.append(run(stream, steps, [Named("m", method)], likes=liked).row("m"))
    return rows[0] != rows[1]


EVENTS = [event(n, f"u{n % 3}", "abcdefghij"[(n * 7 + n // 10) % 10]) for n in range(40)]


@pytest.mark.parametrize("kind", [Popularity, DecayedPopularity, Markov, ItemKnn])
def test_baselines_never_see_later_events(kind):
    assert not any(peeks(lambda _: kind(), EVENTS, cut) for cut in range(5, 40, 5))


def test_method_that_sees_later_events_is_detected():
    assert any(peeks(Prophet, EVENTS, cut) for cut in range(5, 40, 5))


def test_progress_is_reported_up_to_the_end():
    calls: list[tuple[int, int]] = []
    events = [event(n, "ann", f"i{n}") for n in range(3)]
    run(events, prequential(events, liked).steps, [], likes=liked, progress=lambda done, of: calls.append((done, of)))
    assert calls[-1] == (3, 3)


def test_time_is_measured_with_the_given_clock():
    ticks = iter(range(100))
    events = [event(n, "ann", f"i{n}") for n in range(2)]
    steps = [Step(0, True, True), Step(1, True, True)]
    outcome = run(events, steps, [Spy()], likes=liked, clock=lambda: float(next(ticks)))
    assert outcome.seconds == {"spy": 2.0}
