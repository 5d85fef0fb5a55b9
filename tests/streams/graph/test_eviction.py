"""Unknown ids are counted like items, kept apart from them, evicted, and taken over when their item arrives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.neighbours import Neighbours
from streams.candidates.covisited import covisits
from streams.candidates.moment import trend
from streams.errors import IndexFull
from streams.graph.counts import Counts
from streams.graph.item_graph import DAY_MS, Counting, ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from tests.streams.graph.test_item_graph import EVENTS, ITEMS, PUBLISHED, everything, index_of
from tests.support.ranking_world import NOW, World, done, item

ROOM = 100


def small(items: list[str], room: int = ROOM) -> World:
    """A world with a small limit of unknown ids."""
    return World([item(each) for each in items], catalogue=Catalogue(ItemIndex(limit=50, unknown_limit=room)))


def flood(world: World, count: int, *, times: int = 1, begin: int = 0) -> None:
    """Send events with invented ids."""
    for number in range(begin, begin + count):
        world.tell(*(done("eve", f"invented-{number}", EventKind.VIEW, at=10 * number + n) for n in range(times)))


def test_unknown_ids_keep_no_item_out_of_the_catalogue():
    world = World(catalogue=Catalogue(ItemIndex(limit=3)))
    flood(world, 10)
    for name in "abc":
        world.catalogue.add(Item(id=name, title=name))
    assert {name for name in "abc" if world.catalogue.get(name)} == {*"abc"}
    with pytest.raises(IndexFull, match="restart the worker"):
        world.catalogue.add(Item(id="d", title="D"))


def test_unknown_ids_take_no_counts_from_items():
    flooded, calm = small(ITEMS), small(ITEMS)
    for at, each in enumerate(ITEMS):
        for world in (flooded, calm):
            world.tell(done("ann", each, at=at), done("bob", each, at=at))
    flood(flooded, 20 * ROOM)
    assert everything(flooded.graph) == everything(calm.graph)
    assert flooded.graph.likes().tolist() == calm.graph.likes().tolist()
    assert len(flooded.catalogue.index.unknown) == ROOM
    lists = [world.ids(world.shortlist("cy", now_ms=NOW + 9_999)) for world in (flooded, calm)]
    assert lists[0] == lists[1] != []


def test_lists_never_look_at_unknown_ids():
    """Lists cost no more with any number of unknown ids."""
    world = small(ITEMS)
    flood(world, ROOM)
    ready = world.prepared("eve")
    moment = ready.moment
    arrays = (moment.allowed, ready.met, moment.once(trend), world.catalogue.marks(), world.graph.events())
    assert {len(each) for each in arrays} == {len(ITEMS)}


def test_graph_does_not_grow_with_unknown_ids():
    world = small(ITEMS)
    sizes = []
    for round_ in range(4):
        flood(world, 3 * ROOM, begin=round_ * 3 * ROOM)
        graph = world.graph
        sizes.append([len(each) for each in (graph._earlier, graph._later, graph._counted, graph._dirty)])
        assert len(graph._counts.likes) <= 128 + 2 * (ROOM + len(ITEMS))
    assert max(sizes[-1]) <= ROOM + len(ITEMS)
    assert sizes[1] == sizes[-1]


def test_least_counted_id_is_evicted_and_the_oldest_among_equals():
    world = small([], room=4)
    world.tell(done("ann", "often"), done("bob", "often", at=1))
    world.tell(done("cy", "before", at=2), done("di", "lately", at=3), done("ed", "last", at=4))
    world.tell(done("fay", "new", at=5))
    assert [*world.catalogue.index.unknown.values()] == ["often", "lately", "last", "new"]


def test_frequent_id_outlives_any_number_of_rare_ones():
    world = small([])
    gone: list[str] = []
    world.graph.evicted = lambda each, _: gone.append(each)
    for n in range(5):
        world.tell(*(done(f"u{n}", f"genuine-{k}", at=n) for k in range(20)))
    flood(world, 10 * ROOM, times=4)
    kept = {*world.catalogue.index.unknown.values()}
    assert {f"genuine-{k}" for k in range(20)} <= kept
    assert len(gone) == 10 * ROOM + 20 - ROOM
    assert all(each.startswith("invented-") for each in gone)


def test_old_counts_decay():
    world = World(catalogue=Catalogue(ItemIndex(unknown_limit=2)), counting=Counting(half_life_ms=DAY_MS))
    world.tell(done("ann", "old"), done("bob", "old"), done("cy", "late", at=5 * DAY_MS))
    world.tell(done("di", "new", at=5 * DAY_MS))
    assert {*world.catalogue.index.unknown.values()} == {"late", "new"}


@settings(max_examples=60)
@given(EVENTS, st.lists(st.tuples(st.integers(0, 59), st.sampled_from(ITEMS)), max_size=8))
def test_counts_from_before_publication_are_kept(events, published):
    """Counts and lists do not depend on when items arrive."""
    late, early = World(), World([item(each) for _, each in published])
    for at, (user, what, kind, scene) in enumerate(events):
        for world in (late, early):
            world.tell(done(user, what, kind, at=at * 1000, scene=scene))
        for when, each in published:
            if when == at:
                late.catalogue.add(item(each))
    for _, each in published:
        late.catalogue.add(item(each))
    assert everything(late.graph) == everything(early.graph)
    for count in (ItemGraph.likes, ItemGraph.events, lambda graph: graph.trend("home", NOW)):
        counted = [
            {world.catalogue.index[n]: round(float(of), 9) for n, of in enumerate(count(world.graph))}
            for world in (late, early)
        ]
        assert counted[0] == counted[1]
    records = [{each.item: each for each in world.graph.take_dirty()} for world in (late, early)]
    assert records[0] == records[1]
    for user in ("ann", "bob"):
        lists = [world.ids(world.shortlist(user, now_ms=NOW + 99_999)) for world in (late, early)]
        assert lists[0] == lists[1]


@settings(max_examples=60)
@given(EVENTS)
def test_unknown_ids_contribute_to_lists_like_withdrawn_items(events):
    """They have no text and are never listed, but their co-visits count."""
    unknown, withdrawn = (World([item(each) for each in names]) for names in (PUBLISHED, ITEMS))
    for each in ITEMS[len(PUBLISHED) :]:
        withdrawn.catalogue.withdraw(each)
    for at, (user, what, kind, scene) in enumerate(events):
        for world in (unknown, withdrawn):
            world.tell(done(user, what, kind, at=at, scene=scene))
    for user in ("ann", "bob", "cy"):
        ready = [world.prepared(user, now_ms=NOW + 9_999) for world in (unknown, withdrawn)]
        count = len(PUBLISHED)
        np.testing.assert_allclose(ready[0].moment.once(covisits), ready[1].moment.once(covisits)[:, :count], rtol=1e-5)
        assert ready[0].moment.allowed.tolist() == ready[1].moment.allowed[:count].tolist()
        assert ready[0].met.tolist() == ready[1].met[:count].tolist()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["name", "claim", "drop"]), st.integers(0, 9)), max_size=60))
def test_index_number_never_stands_for_two_ids(steps):
    index, limit = ItemIndex(limit=6, unknown_limit=3), 3
    ever: dict[int, str] = {}
    moved: dict[int, int] = {}
    index.moved = moved.__setitem__
    known: list[str] = []
    for step, which in steps:
        name = f"i{which}"
        if step == "name":
            if name in known or index.find(name) is not None or index.room:
                index.number(name)
            else:
                with pytest.raises(IndexFull, match="3 ids"):
                    index.number(name)
        elif step == "claim":
            if name in known or len(known) < 6:
                before = index.find(name)
                number = index.claim(name)
                assert before is None or before == number or moved[before] == number
                known += [name] * (name not in known)
            else:
                with pytest.raises(IndexFull, match="6 items"):
                    index.claim(name)
        elif (found := index.find(name)) is not None and found < 0:
            index.drop(found)
            assert found not in index
        for number in (*range(len(index)), *index.unknown):
            assert ever.setdefault(number, index[number]) == index[number]
            assert index.find(index[number]) == number
        assert [index[number] for number in range(len(index))] == known
        assert len(index.unknown) <= limit
        places = [index.place(number) for number in index.unknown]
        assert len({*places}) == len(places)
        assert all(-limit <= place < 0 for place in places)


def test_positions_are_the_same_singly_and_in_bulk():
    index = ItemIndex(unknown_limit=7)
    numbers = np.arange(-50, 20)
    assert Counts(index).places(numbers).tolist() == [index.place(number) for number in numbers.tolist()]


def test_smaller_replica_keeps_the_most_counted():
    world = World()
    for n in range(30):
        for k in range(1 + n % 7):
            world.tell(done(f"u{n}-{k}", f"i{n}", at=n))
    replica = ItemGraph(ItemIndex(unknown_limit=8))
    for record in world.graph.take_dirty():
        replica.load(decode(Neighbours, encode(record)))
    assert {*replica.index.unknown.values()} >= {f"i{n}" for n in range(30) if n % 7 == 6}
    assert len(replica.index.unknown) == 8


def test_record_with_too_many_ids_loses_the_excess_pairs():
    world = World()
    world.tell(*(done("ann", f"i{n}", at=n) for n in range(10)))
    replica = ItemGraph(ItemIndex(unknown_limit=3))
    replica.load(world.graph.record(world.graph.index.number("i9")))
    number = replica.index.number("i9")
    assert len(replica.record(number).others) == 2


def test_pair_with_an_evicted_id_is_in_no_record():
    """Rows are pruned independently, so one can still hold an id whose own row no longer has the pair."""
    world = small(["a"], room=3)
    world.tell(done("ann", "gone"), done("ann", "a", at=1))
    index, graph = world.catalogue.index, world.graph
    number = index.number("gone")
    graph._later[number].drop(index.number("a"))
    flood(world, 5)
    assert number not in index
    assert graph.record(index.number("a")).others == ()
    world.tell(done("bob", "a", at=400 * DAY_MS))  # its row ages
    assert graph.record(index.number("a")).others == ()
    assert number not in graph._later


def test_record_of_an_evicted_id_is_republished_as_null():
    world = small([], room=1)
    world.tell(done("ann", "a"))
    taken = world.graph.take_dirty()
    world.tell(done("bob", "b", at=1))
    world.graph.not_published(taken)
    assert [each.item for each in world.graph.take_dirty()] == ["b"]
    assert everything(ItemGraph(index_of("a"))) == {}


def test_unused_attributes_are_freed():
    catalogue = Catalogue()
    for n in range(200):
        catalogue.add(Item(id="a", title="A", attributes=(f"only-{n}", "film")))
    attributes, count = catalogue.attributes()
    assert count <= 4
    assert {catalogue.attribute(n) for n in attributes[0] if n} == {"only-199", "film"}
    catalogue.add(Item(id="b", title="B", attributes=("film",)))
    rarity = {catalogue.attribute(n): catalogue.rarity()[n] for n in attributes[0] if n}
    assert rarity["only-199"] > rarity["film"] == 0


def test_steering_adds_no_item():
    world = small(["a"])
    world.tell(Event(id="s", user="ann", kind=EventKind.STEER, ts=NOW, text="less horror"))
    assert not world.catalogue.index.unknown
