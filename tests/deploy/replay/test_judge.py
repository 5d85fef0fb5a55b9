"""One rule for every method: the tests, what counts as a hit, and who knows what when."""

from collections import Counter

import numpy as np

from deploy.replay.judge import JUDGED, OUZEL, Judge
from inference.evaluation.runner import Scored
from schemas.events import Event, EventKind
from schemas.recommendations import Entry, Reason, Recommendation, Source
from schemas.seen import PLAIN, seen_rules


class MostLiked:
    """The most liked items; remembers when it was asked."""

    def __init__(self) -> None:
        self.likes: Counter[str] = Counter()
        self.met: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, int]] = []

    def learn(self, user: str, item: str, liked: bool) -> None:
        self.likes[item] += liked
        self.met.add((user, item))

    def order(self, user: str, *, hidden: frozenset[str]) -> Scored:
        self.asked.append((user, self.likes.total()))
        items = [item for item in self.likes if item not in hidden]
        return Scored(
            np.array([float(self.likes[item]) for item in items]),
            lambda item: items.index(item) if item in items else None,
            items,
        )


def rated(user: str, item: str | None, value: float = 5.0) -> Event:
    return Event(id=f"{user}{item}", user=user, kind=EventKind.RATE, ts=1, item=item, value=value)


def published(user: str, *items: str) -> Recommendation:
    reason = Reason(code=Source.TRENDING, text="popular")
    return Recommendation(
        id="l",
        user=user,
        scene="default",
        ts=1,
        trigger="t",
        partition=0,
        offset=0,
        entries=tuple(
            Entry(item=i, score=0.0, behavioural=0.0, propensity=1.0, sources=(Source.TRENDING,), reason=reason)
            for i in items
        ),
        freshness_ms=1.0,
        took_ms=1.0,
    )


def test_like_is_judged_against_the_list_of_that_moment() -> None:
    judge = Judge({"popularity": MostLiked()})
    judge.published(published("ann", "a", "b"))
    judge.about_to_send(rated("ann", "b"))
    judge.published(published("ann", "c"))
    judge.about_to_send(rated("ann", "a"))
    verdict = judge.verdict()
    assert verdict.tests == 2
    assert verdict.hits == {OUZEL: 1, "popularity": 0}
    assert (verdict.ratio(OUZEL), verdict.ratio("popularity")) == (0.5, 0.0)


def test_tests_are_likes_of_new_items_by_users_with_a_list() -> None:
    judge = Judge({"popularity": MostLiked()})
    judge.learn(rated("ann", "known"))
    judge.about_to_send(rated("ann", "a"))
    judge.published(published("ann", "b", "known"))
    judge.about_to_send(rated("ann", "b", value=3.0))
    judge.about_to_send(rated("ann", "known"))
    judge.about_to_send(rated("bob", "b"))
    judge.about_to_send(Event(id="s", user="ann", kind=EventKind.STEER, ts=1, text="less noise"))
    assert judge.verdict().tests == 0
    assert judge.verdict().ratio(OUZEL) is None


def test_purchase_after_a_view_is_a_test_where_only_purchases_count() -> None:
    def event(kind: EventKind, ts: int) -> Event:
        return Event(id=f"{kind}{ts}", user="ann", kind=kind, ts=ts, item="a", scene="shop")

    shop = seen_rules("never", "all, shop=purchase")
    for rules, tests, hits, seen in ((PLAIN, 0, 0, 2), (shop, 1, 1, 1)):
        judge = Judge({"popularity": MostLiked()}, rules)
        judge.learn(rated("bob", "a"))
        judge.learn(event(EventKind.VIEW, 1))
        judge.published(published("ann", "a"))
        judge.about_to_send(event(EventKind.PURCHASE, 2))
        judge.about_to_send(event(EventKind.PURCHASE, 3))
        verdict = judge.verdict()
        assert (verdict.tests, verdict.hits, verdict.seen) == (tests, {OUZEL: hits, "popularity": hits}, seen)


def test_every_method_knows_all_before_the_event_and_nothing_of_it() -> None:
    ranker = MostLiked()
    judge = Judge({"popularity": ranker})
    judge.learn(rated("bob", "a"))
    judge.learn(rated("bob", "b", value=1.0))
    judge.published(published("ann", "x"))
    judge.about_to_send(rated("ann", "a"))
    judge.about_to_send(rated("ann", "z"))
    assert ranker.asked == [("ann", 1), ("ann", 2)]
    assert judge.verdict().hits == {OUZEL: 0, "popularity": 1}


def test_hits_count_the_first_entries_only() -> None:
    judge = Judge({})
    judge.published(published("ann", *[f"i{n}" for n in range(JUDGED + 1)]))
    judge.about_to_send(rated("ann", f"i{JUDGED - 1}"))
    judge.about_to_send(rated("ann", f"i{JUDGED}"))
    assert judge.verdict().hits == {OUZEL: 1}
