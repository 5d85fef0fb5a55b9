"""The state after a sentence and the question, with a tiny random model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.steering.stance import Stances
from tests.support.tiny_model import ByteTokens, model

LAYERS = 2


def stances() -> Stances:
    return Stances(model().model, ByteTokens(), LAYERS)


SHARED = stances()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=30))
def test_state_of_a_text_does_not_depend_on_the_others(texts: list[str]) -> None:
    found = SHARED.read(texts)
    assert found.shape == (len(texts), SHARED.hidden)
    for text, state in zip(texts, found, strict=True):
        assert state == pytest.approx(SHARED.read([text])[0], abs=1e-4)


def test_cached_examples_change_no_state() -> None:
    first, second = stances(), stances()
    first.read(["something else"])
    assert first.read(["more tea"]) == pytest.approx(second.read(["more tea"]), abs=1e-5)
    assert not np.allclose(first.read(["more tea"]), first.read(["less tea"]))


def test_no_text_has_no_state() -> None:
    assert SHARED.read([]).shape == (0, SHARED.hidden)


def test_pause_is_called_in_each_layer() -> None:
    pauses: list[int] = []
    stances().read(["more"], lambda: pauses.append(1))
    assert len(pauses) == 2 * LAYERS
