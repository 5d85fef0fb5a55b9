"""The catalogue: its items, the filter for users, and text similarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import EventKind
from schemas.items import Item
from schemas.seen import SeenRule
from streams.errors import IndexFull
from streams.fold.context import EMPTY, fold
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from streams.items.text_similarity import Likeness
from tests.support.ranking_world import NOW, done, item

NAMES = st.sampled_from([f"film-{n}" for n in range(12)])


@given(st.lists(st.tuples(st.sampled_from(["add", "withdraw", "see"]), NAMES), max_size=60))
def test_catalogue_allows_known_unseen_items(steps):
    catalogue, held, seen, context = Catalogue(), set(), set(), EMPTY
    for offset, (step, name) in enumerate(steps):
        if step == "add":
            catalogue.add(item(name, attributes=["drama", name]))
            held.add(name)
        elif step == "withdraw":
            catalogue.withdraw(name)
            held.discard(name)
        else:
            context = fold(context, done("ann", name, EventKind.VIEW, at=offset), offset)
            seen.add(name)
        allowed = catalogue.allowed(context, NOW, SeenRule())
        assert {catalogue.index[int(n)] for n in np.flatnonzero(allowed)} == held - seen
        assert len(catalogue) == len(held)


def test_item_is_not_shown_before_it_is_published():
    catalogue = Catalogue()
    catalogue.add(item("soon", published=NOW + 1))
    assert not catalogue.allowed(EMPTY, NOW, SeenRule()).any()
    assert catalogue.allowed(EMPTY, NOW + 1, SeenRule()).all()


def test_new_version_of_an_item_replaces_the_old():
    catalogue = Catalogue()
    catalogue.add(item("a", "Old", ["comedy", "short"]))
    catalogue.add(item("a", "New", ["drama"]))
    number = catalogue.index.number("a")
    attributes, _ = catalogue.attributes()
    assert [catalogue.attribute(n) for n in attributes[number] if n] == ["drama"]
    assert catalogue.text(number) == "New"


def test_rare_attribute_weighs_more_and_one_that_all_have_weighs_nothing():
    catalogue = Catalogue()
    for n in range(10):
        catalogue.add(item(f"film-{n}", attributes=["film", "noir"] if n == 0 else ["film"]))
    attributes, count = catalogue.attributes()
    rarity = {catalogue.attribute(n): catalogue.rarity()[n] for n in range(count)}
    assert rarity["noir"] > 1.0
    assert rarity["film"] == rarity[""] == 0.0
    assert attributes.shape[0] == 10


def test_items_that_share_rare_words_are_alike():
    likeness = Likeness()
    for n in range(30):
        likeness.put(n, item(f"x{n}", f"Something {n} else", ["drama"]))
    likeness.put(30, item("a", "Star Wars", ["sci-fi"]))
    likeness.put(31, item("b", "Star Trek", ["sci-fi"]))
    alike = likeness.vectors() @ likeness.profile(np.array([30]), np.ones(1, np.float32))
    assert alike[30] == alike.max()
    assert alike[31] == np.sort(alike)[-2]
    assert alike[31] > 0.3 > alike[:30].max()


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=80))
def test_text_vectors_keep_unit_length_through_changes(steps):
    likeness, held = Likeness(), {}
    for number, there in steps:
        held[number] = there
        likeness.put(number, item("a", f"Title {number} of {number % 7}", [f"genre-{number % 3}"]) if there else None)
        vectors = likeness.vectors()
        for known, present in held.items():
            # A row is zero if the item is withdrawn, or all of its words are in every item.
            length = float(np.linalg.norm(vectors[known]))
            assert abs(length - 1) < 1e-5 or length == 0
            assert present or length == 0


def test_item_beyond_the_bound_is_refused_and_changes_nothing():
    catalogue = Catalogue(ItemIndex(limit=1))
    catalogue.add(Item(id="a", title="A"))
    with pytest.raises(IndexFull, match="restart the worker"):
        catalogue.add(Item(id="b", title="B"))
    catalogue.add(Item(id="a", title="A again"))
    assert len(catalogue) == 1
    assert catalogue.index.find("b") is None
