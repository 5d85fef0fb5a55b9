"""Ids that only events name: counted like items, kept apart from them, evicted, and taken over when an item comes."""

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
    """A world that numbers few ids that no catalogue knows."""
    return World([item(each) for each in items], catalogue=Catalogue(ItemIndex(limit=50, unknown_limit=room)))


def flood(world: World, count: int, *, times: int = 1, begin: int = 0) -> None:
    """Somebody invents ids."""
    for number in range(begin, begin + count):
        world.tell(*(done("eve", f"invented-{number}", EventKind.VIEW, at=10 * number + n) for n in range(times)))


def test_invented_ids_keep_no_item_out_of_the_catalogue():
    world = World(catalogue=Catalogue(ItemIndex(limit=3)))
    flood(world, 10)
    for name in "abc":
        world.catalogue.add(Item(id=name, title=name))
    assert {name for name in "abc" if world.catalogue.get(name)} == {*"abc"}
    with pytest.raises(IndexFull, match="restart the worker"):
        world.catalogue.add(Item(id="d", title="D"))


def test_invented_ids_take_nothing_from_what_is_counted_of_items():
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


def test_lists_look_at_no_invented_id():
    """So they cost no more, however many there are."""
    world = small(ITEMS)
    flood(world, ROOM)
    ready = world.prepared("eve")
    moment = ready.moment
    arrays = (moment.allowed, ready.met, moment.once(trend), world.catalogue.marks(), world.graph.events())
    assert {len(each) for each in arrays} == {len(ITEMS)}


def test_the_graph_does_not_grow_with_what_is_invented():
    world = small(ITEMS)
    sizes = []
    for round_ in range(4):
        flood(world, 3 * ROOM, begin=round_ * 3 * ROOM)
        graph = world.graph
        sizes.append([len(each) for each in (graph._earlier, graph._later, graph._counted, graph._dirty)])
        assert len(graph._counts.likes) <= 128 + 2 * (ROOM + len(ITEMS))
    assert max(sizes[-1]) <= ROOM + len(ITEMS)
    assert sizes[1] == sizes[-1]


def test_the_least_counted_goes_and_of_equals_the_one_met_longest_ago():
    world = small([], room=4)
    world.tell(done("ann", "often"), done("bob", "often", at=1))
    world.tell(done("cy", "before", at=2), done("di", "lately", at=3), done("ed", "last", at=4))
    world.tell(done("fay", "new", at=5))
    assert [*world.catalogue.index.unknown.values()] == ["often", "lately", "last", "new"]


def test_an_id_that_is_counted_more_outlives_any_number_that_are_counted_less():
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


def test_what_was_counted_long_ago_is_worth_less():
    world = World(catalogue=Catalogue(ItemIndex(unknown_limit=2)), counting=Counting(half_life_ms=DAY_MS))
    world.tell(done("ann", "old"), done("bob", "old"), done("cy", "late", at=5 * DAY_MS))
    world.tell(done("di", "new", at=5 * DAY_MS))
    assert {*world.catalogue.index.unknown.values()} == {"late", "new"}


@settings(max_examples=60)
@given(EVENTS, st.lists(st.tuples(st.integers(0, 59), st.sampled_from(ITEMS)), max_size=8))
def test_what_was_counted_before_an_item_was_published_counts(events, published):
    """Whenever items come, what is counted and what lists are made of it are as if they had been there before."""
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
def test_ids_that_no_catalogue_knows_help_a_list_as_withdrawn_items_do(events):
    """They have no text and are never listed, but what people met beside them is known."""
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
def test_a_number_never_stands_for_two_ids(steps):
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
        elif (number := index.find(name)) is not None and number < 0:
            index.drop(number)
            assert number not in index
        for number in (*range(len(index)), *index.unknown):
            assert ever.setdefault(number, index[number]) == index[number]
            assert index.find(index[number]) == number
        assert [index[number] for number in range(len(index))] == known
        assert len(index.unknown) <= limit
        places = [index.place(number) for number in index.unknown]
        assert len({*places}) == len(places)
        assert all(-limit <= place < 0 for place in places)


def test_places_are_the_same_one_by_one_and_together():
    index = ItemIndex(unknown_limit=7)
    numbers = np.arange(-50, 20)
    assert Counts(index).places(numbers).tolist() == [index.place(number) for number in numbers.tolist()]


def test_a_replica_with_less_room_keeps_what_is_counted_most():
    world = World()
    for n in range(30):
        for k in range(1 + n % 7):
            world.tell(done(f"u{n}-{k}", f"i{n}", at=n))
    replica = ItemGraph(ItemIndex(unknown_limit=8))
    for record in world.graph.take_dirty():
        replica.load(decode(Neighbours, encode(record)))
    assert {*replica.index.unknown.values()} >= {f"i{n}" for n in range(30) if n % 7 == 6}
    assert len(replica.index.unknown) == 8


def test_a_record_that_names_more_than_there_is_room_for_loses_the_rest_of_its_pairs():
    world = World()
    world.tell(*(done("ann", f"i{n}", at=n) for n in range(10)))
    replica = ItemGraph(ItemIndex(unknown_limit=3))
    replica.load(world.graph.record(world.graph.index.number("i9")))
    number = replica.index.number("i9")
    assert len(replica.record(number).others) == 2


def test_a_pair_of_an_id_that_went_is_in_no_record():
    """Rows are pruned by themselves, so one can name an id that has no part in it any more."""
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


def test_a_published_again_record_of_what_went_is_none():
    world = small([], room=1)
    world.tell(done("ann", "a"))
    taken = world.graph.take_dirty()
    world.tell(done("bob", "b", at=1))
    world.graph.not_published(taken)
    assert [each.item for each in world.graph.take_dirty()] == ["b"]
    assert everything(ItemGraph(index_of("a"))) == {}


def test_attributes_that_no_item_has_any_more_are_given_back():
    catalogue = Catalogue()
    for n in range(200):
        catalogue.add(Item(id="a", title="A", attributes=(f"only-{n}", "film")))
    attributes, count = catalogue.attributes()
    assert count <= 4
    assert {catalogue.attribute(n) for n in attributes[0] if n} == {"only-199", "film"}
    catalogue.add(Item(id="b", title="B", attributes=("film",)))
    rarity = {catalogue.attribute(n): catalogue.rarity()[n] for n in attributes[0] if n}
    assert rarity["only-199"] > rarity["film"] == 0


def test_steering_names_no_item():
    world = small(["a"])
    world.tell(Event(id="s", user="ann", kind=EventKind.STEER, ts=NOW, text="less horror"))
    assert not world.catalogue.index.unknown
