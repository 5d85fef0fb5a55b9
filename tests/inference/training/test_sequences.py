"""Pieces and readings: every event is predicted once, from earlier events only, with the contexts of serving."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.item_tokens.heads import feeling_rows
from inference.training.histories import NO_ITEM, Histories
from inference.training.sequences import SECOND_MS, STRIDE, WINDOW, batch, context_begin, pieces, readings
from schemas.events import EventKind
from streams.ranking.question import history
from streams.ranking.settings import Ranking
from tests.support import training_world as world
from tests.support.ranking_world import World, done, item

ITEMS = tuple(f"i{number}" for number in range(9))


@st.composite
def streams(draw) -> Histories:
    count = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Histories(
        items=ITEMS,
        history=rng.integers(0, draw(st.integers(1, 5)), count),
        item=rng.integers(NO_ITEM, len(ITEMS), count),
        feeling=rng.integers(-2, 3, count),
        ts=np.sort(rng.integers(0, 40, count)) * SECOND_MS,
        weight=np.ones(count, np.float32),
    )


@given(streams(), st.integers(0, 120), st.integers(2, 20), st.integers(0, 9))
def test_pieces_cover_every_event_once(stream: Histories, cut: int, window: int, seed: int) -> None:
    found = pieces(stream, cut, np.random.default_rng(seed), window=window)
    places = np.concatenate([piece.places for piece in found]) if found else np.zeros(0, np.int64)
    named = np.flatnonzero(stream.item != NO_ITEM)
    assert sorted(places.tolist()) == named[named < cut].tolist()
    for piece in found:
        assert 1 <= len(piece.places) <= window
        assert len(set(stream.history[[*piece.places, *piece.before]].tolist())) == 1
        assert (np.diff(stream.ts[piece.places]) >= 0).all()
        assert not len(piece.before) or stream.ts[piece.before].max() <= stream.ts[piece.places].min()


@given(streams(), st.integers(0, 120), st.integers(0, 9))
def test_pieces_from_a_position_hold_later_events(stream: Histories, since: int, seed: int) -> None:
    found = pieces(stream, len(stream), np.random.default_rng(seed), since=since, window=8)
    new = np.flatnonzero(stream.item != NO_ITEM)
    places = {place for piece in found for place in piece.places.tolist()}
    assert set(new[new >= since].tolist()) <= places
    assert all(piece.places.max() >= since for piece in found)


@given(streams(), st.integers(0, 9))
def test_seen_items_are_no_targets(stream: Histories, seed: int) -> None:
    found = pieces(stream, len(stream), np.random.default_rng(seed), window=7)
    if not found:
        return
    made = batch(stream, found, unliked=0.5)
    for row, piece in enumerate(found):
        met = set(stream.item[piece.before].tolist())
        for at, place in enumerate(piece.places.tolist()):
            what = int(stream.item[place])
            expected = 0.0 if what in met else 1.0 if stream.feeling[place] > 0 else 0.5
            assert made.weights[row, at] == expected
            # Items that a list before this position leaves out.
            assert {number for number in range(len(ITEMS)) if made.met[row, number] < at} == met
            met.add(what)
        assert not made.weights[row, len(piece.places) :].any()
    assert np.array_equal(made.feelings[0, 0], feeling_rows(stream.feeling[found[0].places[:1]])[0])


@given(streams(), st.data())
def test_readings_give_each_target_the_context_of_serving(stream: Histories, data) -> None:
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(stream), max_size=len(stream))))
    wanted &= stream.item != NO_ITEM
    given_contexts: dict[int, list[int]] = {}
    for one in readings(stream, wanted):
        for at in range(one.skip, len(one.places)):
            if wanted[one.places[at]]:
                assert int(one.places[at]) not in given_contexts
                given_contexts[int(one.places[at])] = one.places[:at].tolist()
    assert sorted(given_contexts) == np.flatnonzero(wanted).tolist()
    for place, context in given_contexts.items():
        sequence = stream.sequences[int(stream.history[place])].tolist()
        at = sequence.index(place)
        assert context == sequence[context_begin(at) : at]
        assert len(context) <= WINDOW


def test_context_begins_where_serving_begins_it() -> None:
    items = [item(f"film{number}") for number in range(60)]
    told = World(items)
    shown = Ranking()
    assert (shown.history, shown.history_step) == (WINDOW, STRIDE)
    for count in range(1, 160):
        told.tell(done("ann", f"film{count % 60}", EventKind.VIEW, at=count * 1000))
        past = history(told.people["ann"], "home", catalogue=told.catalogue, settings=shown)
        assert len(past) == count - context_begin(count), count


@settings(max_examples=15)
@given(st.integers(0, 5), st.integers(0, 23), st.integers(0, 4))
def test_positions_never_see_their_target(at: int, other: int, feeling: int) -> None:
    """Changing an event and all later ones does not change the contexts up to it."""
    items = torch.tensor([[0, 7, 3, 9, 20, 11]])
    feelings, gaps = torch.tensor([[4, 0, 2, 3, 4, 1]]), torch.tensor([[11, 2, 3, 0, 5, 4]])
    changed = [one.clone() for one in (items, feelings, gaps)]
    changed[0][0, at:], changed[1][0, at:], changed[2][0, at:] = other, feeling, 6
    with torch.inference_mode():
        before, after = NETWORK.contexts(items, feelings, gaps), NETWORK.contexts(*changed)
    assert torch.allclose(before[:, : at + 1], after[:, : at + 1], atol=1e-5)
    if other not in items[0, at:]:
        assert not torch.allclose(before[:, at + 1], after[:, at + 1], atol=1e-3)


NETWORK = world.network()
NETWORK.module.eval()


def test_events_out_of_order_are_refused() -> None:
    told = world.events(2)
    with pytest.raises(ValueError, match="sort them"):
        Histories.of([told[1], told[0]], world.ITEMS, world.feeling)
