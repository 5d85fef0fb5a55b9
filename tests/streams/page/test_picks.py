"""What a new user may pick: well-known items that are published."""

from schemas.items import Item
from streams.page.picks import picks
from tests.support.ranking_world import NOW, World, done, item


def test_best_known_items_come_first_and_unpublished_ones_not_at_all() -> None:
    world = World([item("a"), item("b"), item("c", published=NOW + 1_000), item("d")])
    world.tell(done("u", "b"), done("v", "b"), done("u", "d"), done("u", "c"), done("v", "c"), done("w", "c"))
    assert [each.id for each in picks(world.catalogue, world.graph, NOW)] == ["b", "d", "a"]
    assert [each.id for each in picks(world.catalogue, world.graph, NOW, most=1)] == ["b"]


def test_withdrawn_items_are_not_offered() -> None:
    world = World([item("a"), item("b")])
    world.catalogue.withdraw("a")
    assert [each.id for each in picks(world.catalogue, world.graph, NOW)] == ["b"]


def test_empty_catalogue_has_no_picks() -> None:
    assert picks(World().catalogue, World().graph, NOW) == ()


def test_picks_show_title_and_tags() -> None:
    world = World([Item(id="a", title="A <b>", attributes=tuple("uvwxyz"))])
    (pick,) = picks(world.catalogue, world.graph, NOW)
    assert (pick.title, pick.tags) == ("A <b>", ("u", "v", "w", "x"))
