"""The item graph: updates, idempotence, both directions of pairs, bounds, and replication through records."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.neighbours import MAX_EARLIER, MAX_UPDATES, Covisit, Covisits, Earlier, Neighbours
from streams.fold.context import EMPTY, fold
from streams.fold.covisits import REACH, covisits, messages
from streams.graph.counts import MAX_SCENES
from streams.graph.item_graph import DAY_MS, Counting, ItemGraph
from streams.graph.pairs import KERNELS
from streams.items.index import ItemIndex
from tests.support.ranking_world import NOW, World, done
from tests.support.ranking_world import item as published

ITEMS = [f"item-{n}" for n in range(8)]
PUBLISHED = ITEMS[:6]
"""The other ids occur only in events."""

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy"]),
        st.sampled_from(ITEMS),
        st.sampled_from([EventKind.VIEW, EventKind.LIKE, EventKind.DISLIKE]),
        st.sampled_from(["home", "cart"]),
    ),
    max_size=60,
)


def strength(graph: ItemGraph, one: str, other: str, kernel: str, *, after: bool) -> float:
    reach = graph.reach(np.array([graph.index.number(one)]))
    pairs = (reach.other == graph.index.number(other)) & (reach.after == after)
    return float(reach.strength[pairs, [k.name for k in KERNELS].index(kernel)].sum())


def index_of(items: Iterable[str]) -> ItemIndex:
    """An index with these items in the catalogue."""
    index = ItemIndex()
    for each in items:
        index.claim(each)
    return index


def world_of(items: Iterable[str], counting: Counting | None = None) -> World:
    return World([published(each) for each in items], counting or Counting())


def everything(graph: ItemGraph) -> dict[tuple[str, str, bool], tuple[float, ...]]:
    """All pairs of a graph with an item of the catalogue and a weight above zero, by id."""
    reach = graph.reach(np.array([*range(len(graph.index)), *graph.index.unknown]))
    return {
        (graph.index[int(reach.rows[of])], graph.index[int(other)], bool(after)): tuple(np.round(weights, 5).tolist())
        for of, other, weights, after in zip(reach.of, reach.other, reach.strength, reach.after, strict=True)
        if weights.any()
    }


def test_event_updates_its_item_with_earlier_visits_and_likes():
    context = EMPTY
    for offset, (what, kind) in enumerate([("a", EventKind.LIKE), ("b", EventKind.VIEW), ("c", EventKind.LIKE)]):
        context = fold(context, done("ann", what, kind, at=offset), offset)
    ((item, update),) = covisits(context, done("ann", "d", at=9), 9, 0)
    assert item == "d"
    assert update.liked
    assert set(update.earlier) == {Earlier("c", 1, 1), Earlier("b", 2, 0), Earlier("a", 3, 2)}


def test_view_makes_no_pair_of_likes():
    context = fold(EMPTY, done("ann", "a"), 0)
    ((_, update),) = covisits(context, done("ann", "b", EventKind.VIEW), 1, 0)
    assert update == Covisit(1, NOW, "home", False, (Earlier("a", 1, 0),))


def test_event_without_an_item_makes_no_update_and_items_do_not_pair_with_themselves():
    steer = Event(id="s", user="ann", kind=EventKind.STEER, ts=NOW, text="less horror")
    assert covisits(EMPTY, steer, 0, 0) == ()
    ((_, update),) = covisits(fold(EMPTY, done("ann", "a"), 0), done("ann", "a", at=1), 1, 0)
    assert update.earlier == ()


def test_update_of_an_event_is_bounded():
    context = EMPTY
    for n in range(200):
        kind = EventKind.LIKE if n < 100 else EventKind.VIEW
        context = fold(context, done("ann", f"i{n}", kind, at=n), n)
    ((_, update),) = covisits(context, done("ann", "new", at=300), 300, 0)
    assert len(update.earlier) == 2 * REACH == MAX_EARLIER
    assert max(one.apart for one in update.earlier) == REACH


@given(st.lists(st.sampled_from("abc"), max_size=3 * MAX_UPDATES + 1))
def test_messages_hold_every_update_in_order_within_their_bound(items):
    updates = [(item, Covisit(offset, NOW, "home")) for offset, item in enumerate(items)]
    made = messages(3, updates)
    assert all(len(one.updates) <= MAX_UPDATES and one.partition == 3 for one in made)
    for item in "abc":
        told = [update for one in made if one.item == item for update in one.updates]
        assert told == [update for name, update in updates if name == item]
    for one in made:
        decode(Covisits, encode(one))


def test_nearer_pairs_weigh_more_and_each_direction_is_known():
    world = world_of("abc")
    for n, who in enumerate(["ann", "bob", "cy"]):
        world.tell(*(done(who, what, at=10 * n + k) for k, what in enumerate("abc")))
    for kernel in ("met_near", "liked"):
        assert (
            strength(world.graph, "b", "c", kernel, after=True)
            > strength(world.graph, "a", "c", kernel, after=True)
            > 0
        )
        assert strength(world.graph, "c", "b", kernel, after=False) == strength(
            world.graph, "b", "c", kernel, after=True
        )
        assert strength(world.graph, "c", "a", kernel, after=True) == 0


def test_pair_seen_once_is_distrusted_by_the_shrink():
    world = world_of("ab", Counting(half_life_ms=10**15))
    world.tell(done("ann", "a"), done("ann", "b"))
    expected = 1.0 / (0.8 * 1.0 + 12.0)
    assert strength(world.graph, "a", "b", "liked", after=True) == pytest.approx(expected, rel=1e-5)


@given(EVENTS, st.randoms(use_true_random=False))
def test_duplicate_update_changes_nothing(events, random):
    told = []
    people: dict[str, Any] = {}
    for offset, (user, what, kind, scene) in enumerate(events):
        event = done(user, what, kind, at=offset, scene=scene)
        before = people.get(user, EMPTY)
        told += messages(0, covisits(before, event, offset, 0))
        people[user] = fold(before, event, offset)
    once, again = ItemGraph(index_of(PUBLISHED)), ItemGraph(index_of(PUBLISHED))
    for message in told:
        once.learn(message)
        again.learn(message)
        if random.random() < 0.5:  # the consumer rewinds to its last commit
            for earlier in told[: told.index(message) + 1]:
                again.learn(earlier)
    assert everything(once) == everything(again)
    assert once.likes().tolist() == again.likes().tolist()


@settings(max_examples=40)
@given(EVENTS, st.integers(1, 7))
def test_replica_loaded_from_records_equals_the_owner(events, every):
    world, replica = world_of(PUBLISHED), ItemGraph(index_of(PUBLISHED[::-1]))
    for at, (user, what, kind, scene) in enumerate(events):
        world.tell(done(user, what, kind, at=at * 1000, scene=scene))
        if at % every == 0:
            for record in world.graph.take_dirty():
                replica.load(decode(Neighbours, encode(record)))
    for record in world.graph.take_dirty():
        replica.load(decode(Neighbours, encode(record)))
    assert world.graph.take_dirty() == []
    assert everything(replica) == everything(world.graph)
    for number in range(len(replica.index)):
        owned = world.graph.index.number(replica.index[number])
        assert replica.likes()[number] == world.graph.likes()[owned]
        for scene in ("home", "cart"):
            trends = replica.trend(scene, NOW)[number], world.graph.trend(scene, NOW)[owned]
            assert trends[0] == pytest.approx(trends[1], abs=1e-5)


def test_owner_ignores_its_older_records():
    world = world_of("a")
    world.tell(done("ann", "a"))
    (old,) = world.graph.take_dirty()
    world.tell(done("bob", "a"))
    world.graph.load(old)
    assert world.graph.likes()[world.graph.index.number("a")] == pytest.approx(2.0)
    assert len(world.graph.take_dirty()) == 1


def test_new_owner_resumes_from_the_last_record():
    world = World()
    world.tell(done("ann", "a"), done("ann", "b", at=1))
    records = world.graph.take_dirty()
    heir = ItemGraph(index_of("b"))
    for record in records:
        heir.load(record)
    again = Covisits(item="b", partition=0, updates=(Covisit(1, NOW + 1, "home", True, (Earlier("a", 1, 1),)),))
    heir.learn(again)
    assert heir.take_dirty() == []
    heir.learn(Covisits(item="b", partition=1, updates=(Covisit(0, NOW + 2, "home", True, (Earlier("a", 1, 1),)),)))
    assert heir.likes()[heir.index.number("b")] == pytest.approx(2.0)
    assert heir.take_dirty()[0].counted == {0: 1, 1: 0}


def test_records_and_rows_keep_their_bound_and_the_strongest_pairs():
    world = world_of(["hub", *(f"x{n}" for n in range(60))], Counting(neighbours=8))
    world.tell(*(done("ann", f"x{n}", at=n) for n in range(60)))
    for n in range(60):
        world.tell(done(f"u{n}", f"x{n}", at=100 + n), done(f"u{n}", "hub", at=200 + n))
    for _ in range(5):
        for n in range(3):
            world.tell(done(f"v{_}{n}", f"x{n}", at=400), done(f"v{_}{n}", "hub", at=500))
    record = world.graph.record(world.graph.index.number("hub"))
    assert len(record.others) == 8
    assert {"x0", "x1", "x2"} <= set(record.others)
    reach = world.graph.reach(np.array([world.graph.index.number("hub")]))
    assert len(reach.other) <= 2 * 2 * 8


def test_counts_decay_with_event_time():
    world = world_of("a", Counting(half_life_ms=DAY_MS, trend_half_life_ms=DAY_MS // 2))
    world.tell(done("ann", "a"), done("bob", "a", at=DAY_MS))
    number = world.graph.index.number("a")
    assert world.graph.likes()[number] == pytest.approx(1.5)
    assert world.graph.trend("home", NOW + DAY_MS)[number] == pytest.approx(1.25)
    assert world.graph.trend("home", NOW + 2 * DAY_MS)[number] == pytest.approx(1.25 / 4)
    assert world.graph.trend("cart", NOW)[number] == 0


def test_pairs_decay_with_event_time_in_both_directions_here_and_in_a_replica():
    world = world_of("ab", Counting(half_life_ms=DAY_MS, shrink_power=0.0))
    replica = ItemGraph(index_of("ba"), world.counting)
    world.tell(done("ann", "a"), done("ann", "b", at=1))
    fresh = strength(world.graph, "b", "a", "liked", after=False)
    for wait, left in ((DAY_MS // 1000, 1.0), (DAY_MS, 0.5), (2 * DAY_MS, 0.25)):
        world.tell(done(f"u{wait}", "b", at=wait))
        for record in world.graph.take_dirty():
            replica.load(decode(Neighbours, encode(record)))
        for graph in (world.graph, replica):
            assert strength(graph, "b", "a", "liked", after=False) == pytest.approx(left * fresh, rel=0.055)
            assert strength(graph, "a", "b", "liked", after=True) == pytest.approx(left * fresh, rel=0.055)


def test_weights_of_other_kernels_are_ignored():
    graph = ItemGraph(index_of("ab"))
    graph.load(
        Neighbours(item="a", ts=NOW, likes=3.0, others=("b",), kernels="other", weights=b"\0\0\x80\x3f" * len(KERNELS))
    )
    assert graph.likes()[graph.index.number("a")] == 3.0
    assert everything(graph) == {}


def test_removing_an_item_deletes_its_pairs_in_both_directions():
    world = world_of("abc")
    world.tell(*(done("ann", what, at=n) for n, what in enumerate("abc")))
    world.graph.remove("b")
    assert {frozenset(pair[:2]) for pair in everything(world.graph)} == {frozenset("ac")}
    assert world.graph.likes()[world.graph.index.number("b")] == 0
    assert "b" not in {record.item for record in world.graph.take_dirty()}


def test_take_returns_a_bounded_batch_longest_waiting_first():
    world = World()
    world.tell(*(done("ann", what, at=n) for n, what in enumerate("abcd")))
    assert [record.item for record in world.graph.take_dirty(3)] == ["a", "b", "c"]
    assert [record.item for record in world.graph.take_dirty(3)] == ["d"]


def test_scene_beyond_the_bound_replaces_the_one_with_the_fewest_likes():
    """Invented scenes do not keep real ones from having a trend."""
    world = world_of("a")
    world.tell(*(done("ann", "a", at=n, scene="home") for n in range(3)))
    world.tell(*(done("eve", "a", at=n, scene=f"s{n}") for n in range(5 * MAX_SCENES)))
    world.tell(done("ann", "a", at=400, scene="new"))
    number = world.graph.index.number("a")
    assert world.graph.trend("home", NOW)[number] > 2
    assert world.graph.trend("new", NOW)[number] > 0
    assert world.graph.trend("s0", NOW)[number] == 0
    assert len(decode(Neighbours, encode(world.graph.record(number))).trend) <= 16
