"""Lists in training score as in serving, and rows attend only to what serving lets them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.training.packed import gather, lay_out
from inference.transformer.packing import lay
from inference.wire import Answered
from schemas.scoring import Past, ScoreRequest
from tests.support import tiny_model as tiny
from tests.support import training_world as world

TOLERANCE = 1e-4


def stirred(network):
    """Randomize every part that starts at zero."""
    with torch.no_grad():
        for part in (network.heads.bias.weight, network.heads.correct.weight):
            torch.nn.init.normal_(part, std=0.2)
        torch.nn.init.normal_(network.heads.candidate, std=0.5)
        for name, value in network.lora.items():
            if name.endswith(".up"):
                torch.nn.init.normal_(value, std=0.05)
        if network.residuals is not None:
            torch.nn.init.normal_(network.residuals.output.weight, std=0.3)
    network.module.eval()
    return network


@pytest.mark.parametrize("residuals", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
def test_training_and_the_engine_give_the_same_scores(residuals: bool, calibrated: bool) -> None:
    network = stirred(world.network(residuals=residuals))
    if calibrated:
        network.heads.calibrate(0.4, -1.5)
    histories = world.histories()
    known = np.ones(len(world.ITEMS), np.bool_)
    engine = tiny.item_token_engine(network.adapter("tiny", world.ITEMS, known, depths=(1, 2)))
    places = np.array([3, 5, 6, 17])
    offered = [np.array([7, 1, 12]), np.array([2]), np.array([3, 9]), np.array([20, 21, 22])]
    with torch.inference_mode():
        logits, corrections = network.packed(gather(histories, places, offered), torch.ones(len(known)).bool())
    told = world.events()
    for row, place in enumerate(places.tolist()):
        person = [event for event in told[:place] if event.user == told[place].user]
        history = tuple(
            Past(one.text, "rate", item=event.item or "", about=one.about, feeling=world.feeling(event), ts=event.ts)
            for event in person
            for one in [world.CANDIDATES[world.ITEMS.index(event.item or "")]]
        )
        candidates = tuple(world.CANDIDATES[at] for at in offered[row].tolist())
        request = ScoreRequest(session=1, scene="default", history=history, candidates=candidates)
        (answer,) = engine.score([request])
        assert isinstance(answer, Answered)
        here = slice(0, len(candidates))
        assert answer.scores == pytest.approx((logits + corrections)[row, here].tolist(), abs=TOLERANCE)
        vectors = np.frombuffer(engine.describe(candidates).values, "<f4").reshape(len(candidates), -1)
        assert vectors @ np.array(answer.vector) == pytest.approx(logits[row, here].tolist(), abs=TOLERANCE)


def test_calibration_moves_logits_along_one_line() -> None:
    network = stirred(world.network(residuals=True))
    given, known = gather(world.histories(), np.array([4]), [np.arange(24)]), torch.ones(24).bool()
    with torch.inference_mode():
        logits, corrections = network.packed(given, known)
        network.heads.calibrate(0.25, 2.0)
        after, also = network.packed(given, known)
    assert torch.allclose(after, 0.25 * logits + 2.0, atol=TOLERANCE)
    assert torch.allclose(also, 0.25 * corrections, atol=TOLERANCE)
    with pytest.raises(ValueError, match="reverse the order"):
        network.heads.calibrate(-1.0, 0.0)


@given(st.integers(1, 5), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 5))
def test_packed_row_sees_the_same_as_in_serving(before: int, lengths: list[int], candidates: int) -> None:
    events = max(1, *lengths)
    found = lay_out(before, torch.tensor(lengths), events, candidates)
    for row, length in enumerate(lengths):
        served = lay(before + length, [1] * candidates)
        real = [*range(before + length), *range(before + events, before + events + candidates)]
        seen = (found.mask[row, 0] == 0).numpy()
        assert np.array_equal(seen[np.ix_(real, real)], served.visible)
        assert found.positions[row][real].tolist() == served.positions.tolist()
        filling = sorted(set(range(before + events)) - set(real))
        assert not seen[np.ix_(real, filling)].any()
        assert found.last[row] == before + length - 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 100), st.lists(st.integers(0, 23), min_size=1, max_size=5, unique=True), st.data())
def test_batch_and_padding_change_no_score(place: int, offered: list[int], data) -> None:
    network, histories, known = NETWORK, HISTORIES, torch.ones(24).bool()
    other = data.draw(st.integers(1, 100))
    with torch.inference_mode():
        alone = [network.packed(gather(histories, np.array([place]), [np.array([at])]), known) for at in offered]
        both = gather(histories, np.array([place, other]), [np.array(offered), np.arange(6)])
        logits, corrections = network.packed(both, known)
    for at, (logit, correction) in enumerate(alone):
        assert logits[0, at] == pytest.approx(float(logit), abs=TOLERANCE)
        assert corrections[0, at] == pytest.approx(float(correction), abs=TOLERANCE)


NETWORK = stirred(world.network(residuals=True))
HISTORIES = world.histories()


def test_resumed_training_starts_where_it_ended() -> None:
    network = stirred(world.network(residuals=True))
    known = np.arange(24) % 2 == 0
    made = network.adapter("tiny", world.ITEMS, known, depths=(1, 2))
    assert made.items == world.ITEMS[::2]
    again = world.network(seed=1, residuals=True, start=replace(made))
    again.module.eval()
    places, offered = np.array([3]), [np.array([0, 2, 4])]
    told = torch.from_numpy(known)
    for each in (network, again):  # for unknown items
        assert each.residuals is not None
        assert each.residuals.tower is not None
        each.residuals.input.weight.data[2::2] = 0.0
        each.residuals.tower.item.weight.data[2::2] = 0.0
    with torch.inference_mode():
        left, right = (each.packed(gather(HISTORIES, places, offered), told) for each in (network, again))
    assert torch.allclose(left[0], right[0], atol=TOLERANCE)
    assert torch.allclose(left[1], right[1], atol=TOLERANCE)
