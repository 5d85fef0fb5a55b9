"""The order of a trained network, written with a version, is found again in a log that has grown since."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.errors import WeightsError
from inference.training.held_out import Judged
from inference.training.histories import Histories
from inference.training.validation import new_likes
from inference.versions.gates.trained_order import ORDER, TrainedOrder
from tests.support import training_world as world

STREAM = world.histories(40)
LIKES = new_likes(STREAM, 0, len(STREAM))


def judged(count: int = len(LIKES)) -> Judged:
    rng = np.random.default_rng(0)
    contexts = rng.standard_normal((count, 8)).astype(np.float32)
    vectors = rng.standard_normal((len(STREAM.items), 8)).astype(np.float32)
    return Judged(np.zeros(count, np.int64), contexts, vectors, np.ones(len(STREAM.items), np.bool_))


def test_order_has_the_logits_of_the_network_without_items_met(tmp_path: Path) -> None:
    network = judged()
    TrainedOrder.of(network, STREAM, LIKES).write(tmp_path)
    order = TrainedOrder.read(tmp_path)
    assert order is not None
    places, logits = order.found(STREAM, LIKES)
    assert len(places) == len(LIKES[:: -(-len(LIKES) // 100)]) > 50
    for place, row in zip(places.tolist(), logits, strict=True):
        expected = network.scores(int(np.searchsorted(LIKES, place)))
        sequence = STREAM.sequences[STREAM.history[place]]
        expected[STREAM.item[sequence[sequence < place]]] = -np.inf
        assert row == pytest.approx(expected)


def test_order_is_found_in_another_catalogue_and_a_longer_stream() -> None:
    order = TrainedOrder.of(judged(), STREAM, LIKES)
    events = world.events(50)
    items = [item for item in reversed(world.ITEMS) if item != "war-0"]
    longer = Histories.of(events, items, world.feeling)
    places, logits = order.found(longer, new_likes(longer, 0, len(longer)))
    before, known = order.found(STREAM, LIKES)
    assert len(places) > 50
    assert set(places.tolist()) <= set(before.tolist())  # the first events are the same
    for place, row in zip(places.tolist(), logits, strict=True):
        other = known[np.flatnonzero(before == place)[0]]
        assert row.tolist() == [other[STREAM.items.index(item)] for item in items]


def test_like_with_other_events_before_it_is_not_compared() -> None:
    order = TrainedOrder.of(judged(), STREAM, LIKES)
    events = world.events(40)
    late = Histories.of([event for event in events if event.id != "e1"], world.ITEMS, world.feeling)
    places, _ = TrainedOrder.of(judged(), STREAM, LIKES).found(late, new_likes(late, 0, len(late)))
    known, _ = order.found(STREAM, LIKES)
    lost = set(STREAM.ts[known].tolist()) - set(late.ts[places].tolist())
    assert lost <= {event.ts for event in events if event.user == events[1].user} - {events[0].ts}
    assert len(lost) > 1


def test_likes_that_cannot_be_told_apart_are_not_compared() -> None:
    first, second = (LIKES[STREAM.history[LIKES] == user] for user in (0, 1))
    item, ts = STREAM.item.copy(), STREAM.ts.copy()
    item[STREAM.sequences[1]], ts[STREAM.sequences[1]] = item[STREAM.sequences[0]], ts[STREAM.sequences[0]]
    stream = replace(STREAM, item=item, ts=ts, feeling=np.full(len(STREAM), 2))
    both = np.concatenate((first, second))
    places, _ = TrainedOrder.of(judged(len(both)), stream, both).found(stream, both)
    assert not len(places)


def test_file_that_is_no_order_is_refused_with_the_next_step(tmp_path: Path) -> None:
    assert TrainedOrder.read(tmp_path) is None
    (tmp_path / ORDER).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="delete it, and the version is compared in fp32"):
        TrainedOrder.read(tmp_path)
