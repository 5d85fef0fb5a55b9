"""Scoring a request again without single events of its history, in passes between which lists are scored.

A context without its k-th event has the same first k events. Engines cache a user's context as a prefix, so of each of
these contexts only what comes after the event is read. A pass leaves behind the prefix that it scored last, so each
ends with the whole history.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from inference.errors import RequestRefused
from inference.wire import Answer, Answered
from schemas.scoring import ScoreRequest

ROWS = 128
"""About as many rows has a pass; a list that comes meanwhile waits for one."""

Pause = Callable[[], None] | None


def without(request: ScoreRequest, place: int) -> ScoreRequest:
    """The request without one event of its history."""
    return msgspec.structs.replace(request, history=(*request.history[:place], *request.history[place + 1 :]))


def score_without(
    score: Callable[[Sequence[ScoreRequest]], list[Answer]],
    request: ScoreRequest,
    left_out: Sequence[int],
    pause: Pause = None,
) -> list[Answered]:
    """The answers with the whole history, and without each event at the places `left_out`.

    `score` answers a batch in one pass; `pause` is called between passes. Raises `RequestRefused`.
    """
    (whole,) = _checked(score([request]))
    found = [whole]
    for places in _passes(request, left_out):
        if pause is not None:
            pause()
        found += _checked(score([*(without(request, place) for place in places), request]))[:-1]
    return found


def _passes(request: ScoreRequest, left_out: Sequence[int]) -> Iterator[list[int]]:
    """The places of each pass, of at most about `ROWS` rows, at least one place each."""
    places: list[int] = []
    rows = 0
    for place in left_out:
        more = len(request.history) - place + len(request.candidates)
        if places and rows + more > ROWS:
            yield places
            places, rows = [], 0
        places.append(place)
        rows += more
    if places:
        yield places


def _checked(answers: Sequence[Answer]) -> list[Answered]:
    found = []
    for each in answers:
        if isinstance(each, RequestRefused):
            raise each
        if each is None:
            raise RequestRefused("a context was not scored; ask again")
        found.append(each)
    return found
