"""How fast the demo goes: as fast as lists with the model can keep up with on this machine, up to `FASTEST`."""

import time
from collections.abc import Sequence
from statistics import median

from deploy.steps import Step
from schemas.events import EventKind
from schemas.items import Item
from schemas.scoring import Candidate, Past, Scorer, ScoreRequest, ScoringError
from streams.catalogue import Catalogue
from streams.settings import Settings

FASTEST, SLOWEST = 20.0, 0.5
"""Events a second."""

HISTORY, CANDIDATES = 40, Settings().rescored
WARMING, MEASURED = 3, 7
REQUEST_SECONDS = 20.0
ENOUGH_SECONDS = 12.0
"""After so long what was measured must do."""

SHARE = 0.67
"""Of the time, that lists may take: the worker needs some, and people's events come in bursts."""


def speed(seconds_a_list: float | None) -> float:
    """Events a second for a model that takes so long for one list; None (no answer) is the slowest.

    Most of the time one person at a time is active, and the events that come while their list is made share the next.
    """
    if seconds_a_list is None or seconds_a_list <= 0:
        return SLOWEST
    return min(FASTEST, max(SLOWEST, SHARE / seconds_a_list))


def request(films: Sequence[Item], number: int) -> ScoreRequest:
    """What a worker asks for a person with a few likes; each `number` is one like more of the same person."""
    told = [_told(film) for film in films]
    liked = (told[at % len(told)] for at in range(HISTORY + number))
    kind = EventKind.RATE.value
    likes = tuple(Past(one.text, kind, one.item, one.about, feeling=1, ts=at) for at, one in enumerate(liked, 1))
    others = tuple(told[-1 - (31 * number + at) % len(told)] for at in range(CANDIDATES))
    return ScoreRequest(session=0, scene="default", history=likes, candidates=others)


def _told(film: Item) -> Candidate:
    """The film as a worker tells of it."""
    catalogue = Catalogue()
    catalogue.add(film)
    return catalogue.described(0)


async def seconds_a_list(scorer: Scorer, films: Sequence[Item], step: Step) -> float | None:
    """The median time of an answer, after some that warm the model up; None if it does not answer."""
    start = time.monotonic()
    took: list[float] = []
    for number in range(WARMING + MEASURED):
        step.say("warming the model up" if number < WARMING else "timing it", number, WARMING + MEASURED)
        began = time.monotonic()
        if took and began - start > ENOUGH_SECONDS:
            break
        try:
            await scorer.score(request(films, number), timeout=REQUEST_SECONDS)
        except ScoringError:
            continue
        if number >= WARMING:
            took.append(time.monotonic() - began)
    return median(took) if took else None
