"""What the API answers to a request that it refuses: a problem as in RFC 9457 (`application/problem+json`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_WRONG = 20
"""Refused events that a problem names."""

Sentence = Annotated[str, Meta(max_length=1_000)]


class WrongEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is refused: its place in the request, from 0, and why."""

    index: int
    detail: Sentence


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request is refused. `type` names the kind of problem and stays the same; `detail` says what to do next.
    `wrong` are the first of the events that were refused."""

    type: str
    title: str
    status: int
    detail: Sentence
    wrong: Annotated[tuple[WrongEvent, ...], Meta(max_length=MAX_WRONG)] = ()
