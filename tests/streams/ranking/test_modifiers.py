"""Modifiers are bounded, follow the user's history in the scene, and show how well known each candidate is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import EventKind
from streams.ranking.modifiers import MODIFIERS, SPAN
from tests.support.ranking_world import World, done, item

FILMS = [item(f"f{n}") for n in range(40)]
MINUTE, DAY = 60_000, 86_400_000


def of_user(world: World, user: str, scene: str = "home") -> dict[str, float]:
    """The modifiers of the user by name, which all candidates share."""
    found = world.shortlist(user, scene).modifiers
    assert (found[:, :3] == found[0, :3]).all()
    return dict(zip(MODIFIERS[:3], found[0].tolist(), strict=False))


def test_user_modifiers_rise_with_the_history_of_the_scene():
    world = World(FILMS)
    world.tell(*(done("few", f"f{n}", at=n * MINUTE) for n in range(2)))
    world.tell(*(done("many", f"f{n}", at=n * MINUTE) for n in range(12)))
    world.tell(*(done("views", f"f{n}", EventKind.VIEW, at=n * MINUTE) for n in range(12)))
    few, many, views = (of_user(world, user) for user in ("few", "many", "views"))
    assert many["user_events"] > few["user_events"]
    assert many["user_likes"] > few["user_likes"]
    assert views["user_events"] == many["user_events"]
    assert views["user_likes"] < few["user_likes"]
    assert of_user(world, "many", "elsewhere") == of_user(world, "newcomer")


def test_span_is_the_time_of_the_last_events():
    world = World(FILMS)
    world.tell(done("ann", "f0"), *(done("ann", f"f{n}", at=900 * DAY + n * MINUTE) for n in range(1, SPAN + 1)))
    world.tell(*(done("bob", f"f{n}", at=n * MINUTE) for n in range(SPAN)))
    world.tell(*(done("cem", f"f{n}", at=n * DAY) for n in range(SPAN)))
    ann, bob, cem = (of_user(world, user)["user_span"] for user in ("ann", "bob", "cem"))
    assert ann == bob < cem
    assert bob == pytest.approx(np.tanh((np.log1p(SPAN - 1) - 2) / 2))


def test_item_modifiers_are_relative_to_the_candidates():
    world = World(FILMS)
    world.tell(*(done(f"u{n}", "f0") for n in range(9)), *(done(f"v{n}", "f1", EventKind.VIEW) for n in range(9)))
    chosen = world.shortlist("newcomer")
    events, likes = chosen.modifiers[:, 3], chosen.modifiers[:, 4]
    at = {world.catalogue.index[number]: place for place, number in enumerate(chosen.candidates.numbers.tolist())}
    assert events[at["f0"]] == events[at["f1"]] > 0 > events[at["f2"]]
    assert likes[at["f0"]] > 0 > likes[at["f1"]] == likes[at["f2"]]


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(-(10**12), 10**12), st.sampled_from(list(EventKind)[:4]))))
@settings(max_examples=30, deadline=None)
def test_modifiers_are_finite_and_bounded_whatever_users_do(past):
    world = World(FILMS)
    world.tell(*(done("ann", f"f{number}", kind, at=ts) for number, ts, kind in past))
    found = world.shortlist("ann").modifiers
    assert found.dtype == np.float32
    assert found.shape[1] == len(MODIFIERS)
    assert (np.abs(found) <= 1).all()
