"""Marks with a secret: no forged id can hide another, and earlier marks are still recognized."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.seen import SeenRule
from streams.fold.context import EMPTY, Context, digest, fold
from streams.fold.draft import Draft
from streams.fold.marking import MOST_KNOWN, SECRET_BYTES, UNKEYED, Marking, Markings
from streams.items.catalogue import Catalogue
from streams.items.mark_table import MarkTable
from streams.state.records import context_key
from streams.state.store import ITEM_SECRET
from tests.streams.state.test_partition import opened
from tests.support.ranking_world import NOW, World, done, item

RIVAL = "rival"
FORGED = (
    "ansemap04lwl6qyd9cxkotuwyf3o879mr1kl455yqt07q6mqwqeebtt3efawnsv2"
    "x1tzei6kna2bzh6qmlhcg5ycx098u9gou8q9mh3zcravlmxrlgdudj4ny43wquy8"
)
"""Forged in seconds to have the XXH3 digest of the rival."""

ONE, OTHER = Marking(b"1" * SECRET_BYTES), Marking(b"2" * SECRET_BYTES)
MIXED = Marking(b"1" * SECRET_BYTES, mixed=True)


def catalogue_of(*names: str) -> Catalogue:
    catalogue = Catalogue()
    for name in names:
        catalogue.add(Item(id=name, title="A film"))
    return catalogue


def seen(catalogue: Catalogue, context: Context, marking: Marking) -> set[str]:
    return {catalogue.index[int(n)] for n in catalogue.seen(context, NOW, SeenRule(), marking)}


def view(what: str, marking: Marking, context: Context = EMPTY) -> Context:
    offset = context.offset + 1
    return fold(context, done("ann", what, EventKind.VIEW, at=offset), offset, marking)


def test_forged_id_has_the_digest_of_its_rival() -> None:
    assert xxhash.xxh3_64_intdigest(FORGED.encode()) == xxhash.xxh3_64_intdigest(RIVAL.encode())
    assert len(FORGED) <= 128


@pytest.mark.parametrize("order", [(RIVAL, FORGED), (FORGED, RIVAL)])
def test_forged_id_does_not_hide_its_rival(order: Sequence[str]) -> None:
    catalogue = catalogue_of(*order, "other")
    assert seen(catalogue, view(FORGED, ONE), ONE) == {FORGED}
    assert seen(catalogue, view(RIVAL, ONE), ONE) == {RIVAL}


@pytest.mark.parametrize("order", [(RIVAL, FORGED), (FORGED, RIVAL)])
def test_items_with_one_digest_are_all_seen(order: Sequence[str]) -> None:
    """Without a secret: no user is shown an item that they saw."""
    catalogue = catalogue_of("other", *order)
    assert seen(catalogue, view(FORGED, UNKEYED), UNKEYED) == {*order}


def test_marks_from_before_the_secret_still_count() -> None:
    catalogue = catalogue_of("old", "new", RIVAL, FORGED, "other")
    context = view("new", MIXED, view("old", UNKEYED))
    assert seen(catalogue, context, MIXED) == {"old", "new"}
    assert seen(catalogue, view(FORGED, MIXED, context), MIXED) == {"old", "new", FORGED}


def test_forgotten_item_is_not_seen_however_it_was_marked() -> None:
    catalogue = catalogue_of("old", "new", "other")
    context = view("new", MIXED, view("old", UNKEYED))
    draft = Draft(context, MIXED)
    for offset, (name, at) in enumerate((("old", 0), ("new", 1)), 2):
        gone = Event(id=f"f{name}", user="ann", kind=EventKind.FORGET, ts=NOW, target=f"ann-{name}-view-{at}")
        context = fold(context, gone, offset, MIXED)
        draft.add(gone, digest(gone.id), offset)
    assert draft.finish() == context
    assert (context.seen, context.seen_as) == (b"", b"")
    assert seen(catalogue, context, MIXED) == set()


def test_lists_use_the_secret() -> None:
    world = World([item(name) for name in (RIVAL, FORGED, "other", "more")])
    context = view(FORGED, ONE)
    assert set(np.flatnonzero(world.catalogue.allowed(context, NOW, SeenRule(), ONE))) == {0, 2, 3}
    assert set(np.flatnonzero(world.catalogue.allowed(context, NOW, SeenRule(), OTHER))) == {0, 1, 2, 3}


def test_secret_is_not_printed() -> None:
    assert "111" not in repr(ONE) + repr(Markings(b"1" * SECRET_BYTES))


def test_known_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.fold.marking.MOST_KNOWN", 3)
    marking = Marking(b"secret")
    for number in range(10):
        name, mark, _ = marking.known[f"film-{number}"]
        assert (name, int.from_bytes(mark, "little")) == (f"film-{number}", marking.digest(name))
        assert len(marking.known) <= 3
    assert marking.known["film-9"][0] is marking.known["".join(("film", "-9"))][0]
    assert MOST_KNOWN > 3


def test_marking_is_shared_while_it_is_in_use() -> None:
    markings, catalogue = Markings(b"0" * SECRET_BYTES), catalogue_of("a", "b")
    held = markings.of(b"1" * SECRET_BYTES, mixed=False)
    assert markings.of(b"1" * SECRET_BYTES, mixed=False) is held
    assert markings.of(b"1" * SECRET_BYTES, mixed=True) is not held
    catalogue.seen(EMPTY, NOW, SeenRule(), held)
    assert len(catalogue._tables) == 1
    del held
    gc.collect()
    assert len(catalogue._tables) == 0


def test_catalogue_is_marked_in_steps_and_as_it_grows() -> None:
    catalogue = catalogue_of(*(f"i{n}" for n in range(10)))
    for marking, times in ((ONE, 1), (MIXED, 2)):
        assert catalogue.unmarked(marking) == 10 * times
        catalogue.mark(marking, 4)
        assert catalogue.unmarked(marking) == 6 * times
        catalogue.add(Item(id=f"late-{times}", title="Late"))
        while catalogue.unmarked(marking):
            catalogue.mark(marking, 4)
        catalogue.add(Item(id=f"later-{times}", title="Later"))
        assert not catalogue.unmarked(marking)
        names = [catalogue.index[n] for n in range(len(catalogue.index))]
        for name in names:
            assert seen(catalogue, view(name, marking), marking) == {name}
        catalogue = catalogue_of(*(f"i{n}" for n in range(10)))


@given(
    st.lists(st.lists(st.integers(0, 12), max_size=30), max_size=12),
    st.lists(st.integers(0, 14), max_size=20),
)
def test_table_finds_every_item_under_a_digest(batches: list[list[int]], asked: list[int]) -> None:
    table, held = MarkTable(), list[int]()
    for batch in batches:
        for mark in batch:
            table.add(mark, len(held))
            held.append(mark)
        found = table.find(np.array(asked, np.uint64)).tolist()
        assert sorted(found) == sorted(n for each in asked for n, mark in enumerate(held) if mark == each)
        assert len(table) == len(held)


def test_new_item_sorts_little_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table, sorted_ = MarkTable(), list[int]()
    for number in range(20_000):
        table.add(hash((number, "a")) & (2**64 - 1), number)
    table.find(np.zeros(1, np.uint64))
    argsort = np.argsort

    def counted(marks: np.ndarray, **more: Any) -> np.ndarray:
        sorted_.append(len(marks))
        return argsort(marks, **more)

    monkeypatch.setattr(np, "argsort", counted)
    for number in range(1_000):
        table.add(number, 20_000 + number)
        assert table.find(np.array([number], np.uint64)).tolist() == [20_000 + number]
    assert sum(sorted_) < 20_000
    assert len(table._runs) < 6


async def test_partition_keeps_its_secret_or_takes_the_workers(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        state.take_marking(Markings(ONE.secret))
        assert (state.marking.secret, state.marking.mixed) == (ONE.secret, False)
        draft = state.draft("ann")
        draft.add(done("ann", RIVAL, EventKind.VIEW), digest("e"), 1)
        state.note({"ann": draft})
        await (await state.gather(1))
        assert [key for write in log.writes for key, _ in write] == [ITEM_SECRET, context_key("ann")]
    async with opened(tmp_path) as (state, log):
        state.take_marking(Markings(OTHER.secret))
        assert (state.marking.secret, state.marking.mixed) == (ONE.secret, False)
        assert seen(catalogue_of(FORGED, RIVAL), state.context("ann"), state.marking) == {RIVAL}
        await state.seal()
        assert log.writes == []


async def test_partition_with_old_contexts_looks_up_their_marks(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, _):
        state.set_context("ann", view("old", UNKEYED))
        await state.seal(0)
    for other in (ONE, OTHER):
        async with opened(tmp_path) as (state, _):
            state.take_marking(Markings(other.secret))
            assert (state.marking.secret, state.marking.mixed) == (ONE.secret, True)
            assert seen(catalogue_of("old", "other"), state.context("ann"), state.marking) == {"old"}
            await state.seal()


async def test_erased_user_is_marked_under_the_secret_again(tmp_path: Path) -> None:
    from schemas.codec import encode
    from streams.fold.batch import fold_batch
    from tests.streams.fold.test_batch import Record

    async with opened(tmp_path) as (state, _):
        state.take_marking(Markings(ONE.secret))
        events = [
            done("ann", "a", EventKind.VIEW),
            Event(id="o", user="ann", kind=EventKind.ERASE, ts=NOW),
            done("ann", "b", EventKind.VIEW, at=1),
        ]
        records = [Record(n, b"ann", encode(each)) for n, each in enumerate(events)]
        folded = fold_batch(records, state, partition=2, now_ms=NOW, window_ms=1)
        assert seen(catalogue_of("a", "b"), folded.drafts["ann"].finish(), ONE) == {"b"}
        assert msgspec.msgpack.decode(folded.drafts["ann"].encode(), type=Context).seen == ONE.mark("b")
