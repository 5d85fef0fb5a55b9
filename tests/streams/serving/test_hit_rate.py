"""Likes judge the lists that were open at the time, and only those."""

from typing import Any

import numpy as np
import pytest

from schemas.models import Comparison
from streams.fold.attribution import MAX_OPEN, Judged
from streams.metrics import HITS, OUTCOMES, USES, Metrics
from streams.ranking.blend import Remembered
from streams.ranking.comparison import Compared
from streams.ranking.gain import PairedLike
from streams.serving.hit_rate import MAX_LIKES, Judge, Pair, Published, comparison_id

REMEMBERED = Remembered(np.zeros(0, np.uint64), np.zeros((0, 0), np.float16), np.zeros((0, 0), np.float16), None)


def published(user: str = "ann", partition: int = 0, **more: Any) -> Published:
    given: dict[str, Any] = {
        "compared": Compared(("film-1", "film-2", "beyond"), ("film-2", "film-3", "beyond"), ("film-9",), ("film-8",)),
        "shown": 2,
    }
    return Published(user, partition, "home", remembered=REMEMBERED, **(given | more))


def like(item: str, position: int | None = None, *open_: str) -> Judged:
    return Judged(open_[0] if open_ else "l1", item, position, open_ or ("l1",))


class Bench:
    def __init__(self, most: int = 10) -> None:
        self.metrics = Metrics()
        self.told: list[tuple[str, Comparison]] = []
        self.paired: list[PairedLike] = []
        self.judge = Judge(
            self.metrics,
            most,
            tell=lambda *told: self.told.append(told),
            paired=lambda _partition, told: self.paired.append(told),
            now_ms=lambda: 7,
        )
        self.offset = -1

    def says(self, judged: Judged, partition: int = 0) -> Published | None:
        self.offset += 1
        return self.judge.judge(partition, judged, self.offset)

    def counts(self, name: str, label: str, values: tuple[str, ...]) -> list[float]:
        return [self.metrics.registry.get_sample_value(name, {label: value}) or 0.0 for value in values]

    @property
    def hits(self) -> list[float]:
        return self.counts("ouzel_list_hits_total", "of", HITS)

    @property
    def likes(self) -> list[float]:
        return self.counts("ouzel_likes_of_lists_total", "outcome", OUTCOMES)

    @property
    def unremembered(self) -> list[float]:
        return self.counts("ouzel_unremembered_likes_total", "use", USES)

    @property
    def judged(self) -> float:
        return self.metrics.registry.get_sample_value("ouzel_judged_likes_total") or 0.0


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (like("film-1", 0), [1, 0, 0, 0]),
        (like("film-2", 1), [1, 1, 0, 0]),
        (like("film-9"), [0, 0, 1, 0]),
        (like("film-8"), [0, 0, 0, 1]),
        (like("film-4"), [0, 0, 0, 0]),
        (like("beyond"), [0, 0, 0, 0]),
    ],
)
def test_like_counts_for_each_ranking_that_shows_its_item(judged: Judged, expected: list[float]) -> None:
    bench, held = Bench(), published()
    bench.judge.keep("l1", held)
    assert bench.says(judged) is held
    assert (bench.judged, bench.hits) == (1, expected)
    assert bench.likes == ([1, 0] if judged.position is not None else [0, 1])
    assert bench.unremembered == [0, 0, 0]


def test_rankings_are_compared_over_the_same_open_lists() -> None:
    bench = Bench()
    bench.judge.keep("l1", published(compared=Compared(("film-3",), ("film-7",), ("film-9",), ())))
    bench.judge.keep("l2", published())
    bench.says(like("film-7", None, "l2", "l1"))
    bench.says(like("film-3", 0, "l1", "l2"))
    assert (bench.judged, bench.hits) == (2, [1, 2, 0, 0])


@pytest.mark.parametrize(
    ("champions", "told"),
    [
        (("v1", "v1"), [PairedLike("home", "v1", 1, 0)]),
        (("v1", ""), []),
        (("v1", "v2"), []),
        (("", ""), []),
    ],
)
def test_like_says_what_the_model_adds_if_the_champion_made_all_open_lists(
    champions: tuple[str, str], told: list[PairedLike]
) -> None:
    bench = Bench()
    bench.judge.keep("l1", published(champion=champions[0]))
    bench.judge.keep("l2", published(champion=champions[1], compared=Compared((), ("film-9",), (), ())))
    bench.says(like("film-2", 1, "l2", "l1"))
    assert bench.paired == told
    assert bench.judged == 1


def test_list_outside_the_sample_teaches_the_blend_but_is_not_compared() -> None:
    bench = Bench()
    bench.judge.keep("l1", published(compared=None))
    assert bench.says(like("film-1", 0)) is not None
    assert (bench.judged, bench.hits, bench.likes, bench.unremembered) == (0, [0, 0, 0, 0], [1, 0], [0, 0, 0])


def test_list_that_is_not_held_is_counted_not_guessed() -> None:
    bench = Bench()
    assert bench.says(like("film-1", 0)) is None
    assert (bench.judged, bench.hits, bench.likes, bench.unremembered) == (0, [0, 0, 0, 0], [1, 0], [1, 1, 0])


def test_event_read_again_counts_once() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    assert bench.says(like("film-1", 0)) is not None
    assert bench.judge.judge(0, like("film-1", 0), bench.offset) is None
    assert bench.judge.judge(1, like("film-1", 0), bench.offset) is not None, "another partition has other offsets"
    bench.judge.forget(0)
    assert bench.judge.judge(0, like("film-1", 0), bench.offset) is None
    assert (bench.likes, bench.unremembered) == ([2, 0], [0, 0, 0])


def test_lists_held_are_bounded_by_user_and_in_all() -> None:
    bench = Bench(most=6)
    for number in range(MAX_OPEN + 1):
        bench.judge.keep(f"a{number}", published("ann"))
    assert bench.says(like("x", None, "a0")) is None
    assert bench.says(like("x", None, "a1")) is not None
    for number in range(3):
        bench.judge.keep(f"b{number}", published("bob"))
    assert bench.says(like("x", None, "a1")) is None
    assert bench.says(like("x", None, "a2")) is not None


def test_list_made_again_is_held_once() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    bench.judge.keep("l1", published(shown=1))
    assert bench.says(like("film-1", 0)) == published(shown=1)
    assert bench.judge.drop("ann")
    assert not bench.judge.drop("ann")
    assert bench.says(like("film-1", 0)) is None


def test_lists_of_a_lost_partition_are_dropped() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    bench.judge.keep("l2", published("bob", 1))
    bench.judge.forget(0)
    assert (bench.judge.drop("ann"), bench.judge.drop("bob")) == (False, True)


PAIR = Pair("v1", "v2", ("film-1", "film-2", "beyond"), ("film-3",), canary=False)


def test_versions_are_compared_by_the_newest_list_cut_to_what_was_shown() -> None:
    bench = Bench()
    bench.judge.keep("l1", published(pair=PAIR._replace(of_champion=("film-4",), of_challenger=("film-5",))))
    bench.judge.keep("l2", published(pair=PAIR))
    for item in ("film-2", "film-3", "film-5", "beyond"):
        bench.says(like(item, None, "l2", "l1"))
    assert [(user, each.champion_hit, each.challenger_hit) for user, each in bench.told] == [
        ("ann", True, False),
        ("ann", False, True),
        ("ann", False, False),
        ("ann", False, False),
    ]
    first = bench.told[0][1]
    assert (first.list, first.scene, first.ts, first.canary) == ("l2", "home", 7, False)
    assert first.id == comparison_id("l2", 0, 0)
    assert len({each.id for _, each in bench.told}) == 4
    assert "ann" not in str(first)


def test_like_waits_for_the_orders_of_its_list() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    bench.judge.expect("l1")
    bench.says(like("film-2", None, "l1"))
    assert bench.told == []
    bench.judge.pair("l1", PAIR)
    bench.says(like("film-3", None, "l1"))
    assert [(each.champion_hit, each.challenger_hit) for _, each in bench.told] == [(True, False), (False, True)]
    assert [each.id for _, each in bench.told] == [comparison_id("l1", 0, 0), comparison_id("l1", 0, 1)]
    assert bench.unremembered == [0, 0, 0]


def test_likes_of_a_list_without_orders_are_counted() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    bench.says(like("film-2", None, "l1"))
    assert bench.unremembered == [0, 0, 0], "nothing is compared without a challenger"
    bench.judge.expect("l1")
    bench.says(like("film-2", None, "l1"))
    bench.judge.give_up("l1")
    bench.says(like("film-3", None, "l1"))
    assert (bench.told, bench.unremembered) == ([], [0, 0, 2])


def test_likes_that_wait_are_bounded_and_dropped_with_their_list() -> None:
    bench = Bench()
    bench.judge.keep("l1", published())
    bench.judge.expect("l1")
    for number in range(MAX_LIKES + 3):
        bench.says(like(f"film-{number}", None, "l1"))
    assert bench.unremembered == [0, 0, 3]
    assert bench.judge.drop("ann")
    assert bench.unremembered == [0, 0, MAX_LIKES + 3]
    bench.judge.pair("l1", PAIR)
    assert bench.told == []


def test_pair_of_a_list_that_is_not_held_is_dropped() -> None:
    bench = Bench()
    bench.judge.pair("l1", PAIR)
    assert not bench.judge.holds("l1")
    bench.judge.keep("l1", published())
    bench.judge.pair("l1", PAIR)
    bench.says(like("film-1", 0))
    assert len(bench.told) == 1
    bench.judge.drop("ann")
    bench.says(like("film-1", 0))
    assert len(bench.told) == 1


def test_event_read_again_compares_versions_once() -> None:
    bench = Bench()
    bench.judge.keep("l1", published(pair=PAIR))
    bench.says(like("film-1", 0))
    bench.judge.judge(0, like("film-1", 0), bench.offset)
    assert len(bench.told) == 1
