"""Scoring without single events: in which passes, with which histories, and what a refusal does."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import RequestRefused
from inference.left_out import ROWS, score_without, without
from inference.shared import ScoringEngine
from inference.wire import Answer, Answered
from schemas.scoring import ScoreRequest
from tests.support.tiny_model import engine, item_token_engine, request

ENGINES: dict[str, ScoringEngine] = {
    "full text": engine(max_events=64),
    "item tokens": item_token_engine(max_events=64),
}


class Passes:
    """Scores a history by the number of its events and the sum of their positions; records the passes."""

    def __init__(self, refuse: int | None = None) -> None:
        self.made: list[list[int]] = []
        self._refuse = refuse

    def __call__(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        self.made.append([len(each.history) for each in requests])
        if len(self.made) - 1 == self._refuse:
            return [RequestRefused("too long")] * len(requests)
        return [
            Answered((float(len(each.history)), sum(float(past.text) for past in each.history))) for each in requests
        ]


def history(events: int) -> ScoreRequest:
    return request([str(at) for at in range(events)], ["candidate"])


@given(st.integers(1, 60), st.data())
def test_each_answer_lacks_its_event_and_no_other(events: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, events - 1), unique=True, max_size=60))
    whole = events * (events - 1) / 2
    passes, paused = Passes(), []
    found = score_without(passes, history(events), places, lambda: paused.append(1))
    assert [each.scores for each in found] == [
        (events, whole),
        *((events - 1.0, whole - place) for place in places),
    ]
    assert len(paused) == len(passes.made) - 1
    assert all(each[-1] == events for each in passes.made), "the whole history is what a pass leaves in the cache"
    for each in passes.made:
        assert len(each) <= 2 or sum(each[:-1]) < ROWS + 61 * len(each)


def test_passes_are_short_enough_for_lists_to_go_between() -> None:
    passes = Passes()
    score_without(passes, history(50), range(50))
    assert len(passes.made) > 5


def test_refusal_ends_it() -> None:
    with pytest.raises(RequestRefused, match="too long"):
        score_without(Passes(refuse=1), history(3), [0, 1])


@pytest.mark.parametrize("name", ENGINES)
def test_engine_scores_as_if_the_event_had_never_been(name: str) -> None:
    engine = ENGINES[name]
    asked = request([f"film {at}" for at in range(40)], ["Alien", "Heat"])
    engine.describe([*asked.candidates])
    engine.score([asked] * 40)  # until all items are read
    found = engine.without(asked, [39, 0, 17])
    for place, answered in zip([None, 39, 0, 17], found, strict=True):
        engine.forget(None)
        (alone,) = engine.score([asked if place is None else without(asked, place)])
        assert isinstance(alone, Answered)
        assert answered.scores == pytest.approx(alone.scores, abs=1e-4)
        assert answered.vector == pytest.approx(alone.vector, abs=1e-4)
