"""The demo is no faster than the model, and the model is timed on what a worker asks it."""

import asyncio
import io

import pytest
from rich.console import Console

from deploy.pacing import FASTEST, MEASURED, SLOWEST, WARMING, request, seconds_a_list, speed
from deploy.steps import Steps
from schemas.items import Item
from schemas.scoring import ScoreRequest, Scores, Unavailable
from streams.settings import Settings

FILMS = [Item(id=str(n), title=f"Film {n}", attributes=("Comedy",)) for n in range(400)]


class Slow:
    """Takes longer for each answer, and fails on some."""

    def __init__(self, *failures: int) -> None:
        self.asked: list[ScoreRequest] = []
        self._failures = failures

    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        self.asked.append(request)
        if len(self.asked) in self._failures:
            raise Unavailable("not yet")
        return Scores(scores=(0.0,) * len(request.candidates), model_version="m")

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        pass


def timed(scorer: Slow) -> float | None:
    with Steps(Console(file=io.StringIO())) as steps, steps.step("speed") as step:
        return asyncio.run(seconds_a_list(scorer, FILMS, step))


@pytest.mark.parametrize(
    ("seconds", "events"), [(0.01, FASTEST), (0.25, 2.68), (0.67, 1.0), (9.0, SLOWEST), (None, SLOWEST), (0.0, SLOWEST)]
)
def test_each_event_has_the_time_of_a_list_and_a_half(seconds: float | None, events: float) -> None:
    assert speed(seconds) == pytest.approx(events)


def test_a_request_goes_on_where_the_last_one_was() -> None:
    first, second = request(FILMS, 0), request(FILMS, 1)
    assert second.history[:-1] == first.history
    assert second.session == first.session
    assert second.candidates != first.candidates
    assert len(first.candidates) == Settings().rescored
    assert first.history[0].text == "Film 0"


def test_the_model_is_timed_once_it_is_warm() -> None:
    scorer = Slow(1, 2)
    took = timed(scorer)
    assert took is not None
    assert took < 1.0
    assert len(scorer.asked) == WARMING + MEASURED


def test_a_model_that_never_answers_has_no_time() -> None:
    assert timed(Slow(*range(1, 100))) is None
