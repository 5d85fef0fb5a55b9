"""How fast the demo goes: as fast as lists with the model can keep up with on this machine, up to `FASTEST`."""

import time
from collections.abc import Sequence
from statistics import median

from deploy.steps import Step
from schemas.events import EventKind
from schemas.items import Item
from schemas.scoring import Candidate, Past, Scorer, ScoreRequest, ScoringError
from streams.settings import Settings

FASTEST, SLOWEST = 10.0, 0.5
"""Events a second."""

HISTORY, CANDIDATES = 12, Settings().rescored
WARMED = 20
"""Requests whose candidates, the first of the catalogue, the model then knows: it reads a film by itself only once."""

MEASURED = 7
REQUEST_SECONDS = 20.0
ENOUGH_SECONDS = 12.0
"""After so long what was warmed must do."""

SHARE = 0.67
"""Of the time, that lists may take: some candidates are new to the model, and people's events come in bursts."""


def speed(seconds_a_list: float | None) -> float:
    """Events a second for a model that takes so long for one list; None (no answer) is the slowest.

    Most of the time one person at a time is active, and the events that come while their list is made share the next.
    """
    if seconds_a_list is None or seconds_a_list <= 0:
        return SLOWEST
    return min(FASTEST, max(SLOWEST, SHARE / seconds_a_list))


def request(films: Sequence[Item], number: int, first: int) -> ScoreRequest:
    """What a worker asks for a person with a few likes, of the candidates from `first` on.

    Each `number` is one like more of the same person.
    """
    texts = [film.title + (f" ({', '.join(film.attributes)})" if film.attributes else "") for film in films]
    likes = tuple(Past(texts[-1 - at % len(texts)], EventKind.RATE.value) for at in range(HISTORY + number))
    others = (texts[(first + at) % len(texts)] for at in range(CANDIDATES))
    return ScoreRequest(session=0, scene="default", history=likes, candidates=tuple(map(Candidate, others)))


async def seconds_a_list(scorer: Scorer, films: Sequence[Item], step: Step) -> float | None:
    """The median time of an answer, once the model has met the first of the `films`; None if it does not answer.

    Put the films first that will be asked for most.
    """
    start = time.monotonic()
    warmed = 0
    while warmed < WARMED and (warmed < 2 or time.monotonic() - start < ENOUGH_SECONDS):
        step.say("the model reads the most popular films", warmed, WARMED + MEASURED)
        await _seconds(scorer, request(films, warmed, CANDIDATES * warmed))
        warmed += 1
    took = []
    for number in range(MEASURED):
        step.say("timing it", WARMED + number, WARMED + MEASURED)
        # Candidates that it has met, otherwise put together.
        first = CANDIDATES * (number % (warmed - 1)) + CANDIDATES // 2
        took.append(await _seconds(scorer, request(films, warmed + number, first)))
    answered = [seconds for seconds in took if seconds is not None]
    return median(answered) if answered else None


async def _seconds(scorer: Scorer, asked: ScoreRequest) -> float | None:
    began = time.monotonic()
    try:
        await scorer.score(asked, timeout=REQUEST_SECONDS)
    except ScoringError:
        return None
    return time.monotonic() - began
