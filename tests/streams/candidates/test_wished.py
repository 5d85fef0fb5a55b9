"""What wishes do to a list: candidates, a bounded signal, reasons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.recommendations import Entry, Source
from streams.candidates.wished import STRENGTH
from streams.ranking.blend import Blend
from streams.ranking.drawing import Noise
from streams.ranking.shortlist import Shortlist
from streams.steering.wish import Wish
from tests.support.ranking_world import NOW, PLAIN, World, done, item


@pytest.fixture
def world() -> World:
    """Users like dramas; few know the crime films, which are liked together, and one comedy."""
    dramas = [item(f"drama-{n}", f"Drama {n}", ["drama"]) for n in range(20)]
    crime = [item(f"crime-{n}", f"Crime {n}", ["crime"]) for n in range(4)]
    made = World((*dramas, *crime, item("comedy", "Comedy", ["comedy"])))
    for n in range(6):
        made.tell(*(done(f"p{n}", f"drama-{k}", at=20 * n + k) for k in range(15)))
    for n in range(2):
        made.tell(*(done(f"q{n}", f"crime-{k}", at=500 + 10 * n + k) for k in range(4)))
    return made


def names(world: World, *wishes: Wish, user: str = "new") -> list[str]:
    return world.ids(world.shortlist(user, wishes=wishes))[:10]


def test_wish_for_more_brings_items_of_the_attribute_to_the_top(world):
    assert not any(name.startswith("crime") for name in names(world)[:4])
    assert all(name.startswith("crime") for name in names(world, Wish("more crime", NOW, (("crime", 0.9),)))[:4])


def test_wish_for_less_sends_items_of_the_attribute_down(world):
    found = names(world, Wish("less drama", NOW, (("drama", -0.9),)))
    assert all(name.startswith("crime") for name in found[:4])


def test_wish_of_a_user_with_likes_doubles_or_halves_and_leaves_the_rest(world):
    world.tell(*(done("ann", f"{kind}-{n}", at=2000 + n) for n, kind in enumerate(["drama", "drama", "crime"])))
    plain = names(world, user="ann")
    found = names(world, Wish("more crime", NOW, (("crime", 0.9),)), user="ann")
    count = sum(name.startswith("crime") for name in plain)
    assert count < sum(name.startswith("crime") for name in found) <= max(2 * count + 1, 3)
    less = names(world, Wish("less drama", NOW, (("drama", -0.9),)), user="ann")
    assert sum(name.startswith("drama") for name in less) < sum(name.startswith("drama") for name in plain)


def test_later_wish_about_an_attribute_replaces_the_earlier_one(world):
    more, less = Wish("more", NOW, (("crime", 0.9),)), Wish("less", NOW, (("crime", -0.9),))
    assert names(world, more, less) == names(world, less)
    assert names(world, less, more) == names(world, more)


def test_wish_about_an_item_brings_what_users_like_together_with_it(world):
    number = world.catalogue.index.number("crime-0")
    found = names(world, Wish("like Crime 0", NOW, (), ((number, 1.0),)))
    assert set(found[:3]) == {"crime-1", "crime-2", "crime-3"}
    away = names(world, Wish("no more Drama 0", NOW, (), ((world.catalogue.index.number("drama-0"), -1.0),)))
    assert "drama-0" not in away[:5]


def test_wish_about_an_unknown_item_goes_by_words(world):
    world.catalogue.add(item("fresh", "The Great Comedy Night", ["comedy"]))
    number = world.catalogue.index.number("fresh")
    assert "comedy" not in names(world)
    assert "comedy" in names(world, Wish("like it", NOW, (), ((number, 1.0),)))


def test_wish_that_is_not_read_or_means_nothing_changes_no_list(world):
    plain = names(world)
    assert names(world, Wish("hm", NOW, read=False)) == plain
    assert names(world, Wish("hm", NOW)) == plain
    assert names(world, Wish("more opera", NOW, (("opera", 1.0),))) == plain
    chosen = world.shortlist("new")
    assert not chosen.signals[:, world.ranker(PLAIN).sources.columns.names.index("wish")].any()


@given(st.lists(st.tuples(st.sampled_from(["drama", "crime", "comedy"]), st.floats(-1, 1)), max_size=4))
def test_wishes_change_a_score_by_at_most_the_bound(attributes):
    small = World([item(f"{n}", f"{n}", ["drama", "crime", "comedy"][: n % 4]) for n in range(12)])
    wish = Wish("?", NOW, tuple(attributes))
    plain, chosen = small.shortlist("u"), small.shortlist("u", wishes=(wish,))
    before = dict(zip(plain.candidates.numbers.tolist(), plain.scores.tolist(), strict=True))
    after = dict(zip(chosen.candidates.numbers.tolist(), chosen.scores.tolist(), strict=True))
    if before.keys() == after.keys():
        assert np.abs(np.array([after[at] - before[at] for at in before])).max() <= STRENGTH + 1e-4


def test_reason_names_what_was_asked_for(world):
    def entries(chosen: Shortlist) -> tuple[Entry, ...]:
        return world.ranker(PLAIN).assemble(chosen, Blend(), Noise("1"))

    chosen = world.shortlist("new", wishes=(Wish("more crime", NOW, (("crime", 0.9),)),))
    first = entries(chosen)[0]
    assert (first.reason.code, first.reason.text) == (Source.WISHED, "you asked for more crime")
    number = world.catalogue.index.number("crime-0")
    chosen = world.shortlist("new", wishes=(Wish("like it", NOW, (), ((number, 0.9),)),))
    first = entries(chosen)[0]
    assert (first.reason.text, first.reason.because) == ("you asked for more like Crime 0", ("crime-0",))
    assert first.contributions[Source.WISHED] > 0
