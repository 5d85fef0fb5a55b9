"""The wire format of requests to Triton and their answers.

A request is one tensor, `request`, UINT8 [m]: a MessagePack map with `type` "score" and the `ScoreRequest` under
`request`, or with `type` "without", the `request` and the places `left_out` of its history, or with `type` "describe"
and the items under `items`, or with `type` "interpret", the `sentence` and the `names`, or with `type` "forget" and the
`sessions`, nil for all of them. The answer is three tensors:

    scores      FP32 [n]    one per candidate; for a describe, a 0 per item; for an interpret, a strength per name; for
                            a without, those of the whole history, then those without each event, one after the other
    vector      FP32 [k]    the context's vector; for a without, the concatenated ones; for a describe, those of the
                            items, k = n x width; empty if the model has no vectors
    version     UINT8 [m]   the model's version in UTF-8
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inference.errors import RequestRefused
from schemas.limits import Sentence, Title
from schemas.scoring import (
    MAX_DESCRIBED,
    MAX_FORGOTTEN,
    MAX_LEFT_OUT,
    MAX_NAMES,
    MAX_WIDTH,
    Candidate,
    Interpretation,
    InvalidAnswer,
    ItemVectors,
    ScoreRequest,
    Scores,
)

REQUEST = "request"
SCORES = "scores"
VECTOR = "vector"
VERSION = "version"

OVERLOADED = "too many requests wait: "
"""Prefix of the server's message if its queue is full: Triton backends cannot return a status code for it."""

MAX_REQUEST_BYTES = 1024 * 1024
"""Larger requests are refused without decoding."""


class DescribeRequest(msgspec.Struct, frozen=True, tag="describe"):
    """A request for the vectors of items."""

    items: Annotated[tuple[Candidate, ...], Meta(max_length=MAX_DESCRIBED)]


class InterpretRequest(msgspec.Struct, frozen=True, tag="interpret"):
    """A request to read a sentence: of which names it asks for more or less."""

    sentence: Sentence
    names: Annotated[tuple[Title, ...], Meta(max_length=MAX_NAMES)]


class WithoutRequest(msgspec.Struct, frozen=True, tag="without"):
    """A request to score with the whole history, and without each event at these places of it, one at a time."""

    request: ScoreRequest
    left_out: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MAX_LEFT_OUT)]


class ForgetRequest(msgspec.Struct, frozen=True, tag="forget"):
    """A request to drop the caches of sessions; None for all. The answer is empty."""

    sessions: Annotated[tuple[int, ...], Meta(max_length=MAX_FORGOTTEN)] | None


Question = ScoreRequest | WithoutRequest | DescribeRequest | InterpretRequest | ForgetRequest


class _Score(msgspec.Struct, frozen=True, tag="score"):
    request: ScoreRequest


@dataclass(frozen=True)
class Answered:
    """An engine's answer to one `ScoreRequest`: one score per candidate, and the context's vector if it has one."""

    scores: tuple[float, ...]
    vector: tuple[float, ...] = ()


Answer = Answered | RequestRefused | None
"""An answer, the reason for a refusal, or None for a skipped request."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Score | WithoutRequest | DescribeRequest | InterpretRequest | ForgetRequest)


def encode(request: Question) -> bytes:
    return _encoder.encode(_Score(request) if isinstance(request, ScoreRequest) else request)


def decode(payload: bytes) -> Question:
    """Decode a request. Raises `RequestRefused` for any invalid bytes."""
    if len(payload) > MAX_REQUEST_BYTES:
        raise RequestRefused(
            f"a request of {len(payload)} bytes, at most {MAX_REQUEST_BYTES} are accepted; send less text"
        )
    try:
        request = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(f"not a scoring request: {error}; use the same version in client and server") from None
    return request.request if isinstance(request, _Score) else request


DESCRIBE = encode(DescribeRequest(()))[: -len(b"\xa5items\x90")]
"""The first bytes of an encoded `DescribeRequest`: enough to refuse one without decoding it."""


def answer(answered: Answered, asked: int, version: str) -> Scores:
    """Check the answer to a `ScoreRequest` of `asked` candidates. Raises `InvalidAnswer` for a wrong number of scores,
    a vector that is too long, or a number that is not finite."""
    scores, vector = answered.scores, answered.vector
    if len(scores) != asked:
        raise InvalidAnswer(f"{len(scores)} scores for {asked} candidates; check the model's log")
    if not all(map(math.isfinite, scores)):
        raise InvalidAnswer(f"a score of {version or 'the model'} is not finite; use another version of the model")
    if len(vector) > MAX_WIDTH:
        raise InvalidAnswer(f"a vector of {len(vector)} numbers, at most {MAX_WIDTH} are allowed; use a narrower model")
    if not all(map(math.isfinite, vector)):
        raise InvalidAnswer(f"a vector of {version or 'the model'} is not finite; use another version of the model")
    return Scores(scores=tuple(map(float, scores)), model_version=version, vector=tuple(map(float, vector)))


def answers(answered: Answered, request: WithoutRequest, version: str) -> tuple[Scores, ...]:
    """Check the answer to a `WithoutRequest` and take it apart. Raises `InvalidAnswer`, as `answer` does."""
    times, asked = 1 + len(request.left_out), len(request.request.candidates)
    width, rest = divmod(len(answered.vector), times)
    if len(answered.scores) != times * asked or rest:
        raise InvalidAnswer(
            f"{len(answered.scores)} scores and {len(answered.vector)} numbers of vectors for {times} contexts; check "
            "the model's log"
        )
    return tuple(
        answer(
            Answered(answered.scores[at * asked : (at + 1) * asked], answered.vector[at * width : (at + 1) * width]),
            asked,
            version,
        )
        for at in range(times)
    )


def described(vectors: ItemVectors, asked: int) -> ItemVectors:
    """Check the vectors of `asked` items. Raises `InvalidAnswer`."""
    version = vectors.model_version or "the model"
    if not 0 <= vectors.width <= MAX_WIDTH:
        raise InvalidAnswer(
            f"vectors of {vectors.width} numbers, at most {MAX_WIDTH} are allowed; use a narrower model"
        )
    if len(vectors.values) != 4 * asked * vectors.width:
        raise InvalidAnswer(
            f"{len(vectors.values)} bytes for {asked} vectors of {vectors.width} numbers; check the model's log"
        )
    if not np.isfinite(np.frombuffer(vectors.values, "<f4")).all():
        raise InvalidAnswer(f"a vector of {version} is not finite; use another version of the model")
    return vectors


def interpreted(strengths: Sequence[float], asked: int, version: str) -> Interpretation:
    """Check the answer to an `InterpretRequest` of `asked` names. Raises `InvalidAnswer`."""
    if len(strengths) != asked:
        raise InvalidAnswer(f"{len(strengths)} strengths for {asked} names; check the model's log")
    if not all(-1 <= strength <= 1 for strength in strengths):  # nor is NaN
        raise InvalidAnswer(f"a strength of {version or 'the model'} is not between -1 and 1; check the model's log")
    return Interpretation(strengths=tuple(map(float, strengths)), model_version=version)


def check_names(names: Sequence[str]) -> None:
    """Raises `InvalidAnswer` for more names than one request may have."""
    if len(names) > MAX_NAMES:
        raise InvalidAnswer(f"{len(names)} names, at most {MAX_NAMES} per sentence; send those that fit best")


def check_places(request: ScoreRequest, left_out: Sequence[int]) -> None:
    """Raises `InvalidAnswer` for places that are not in the history, or more than one request may have."""
    if len(left_out) > MAX_LEFT_OUT:
        raise InvalidAnswer(f"{len(left_out)} events to leave out, at most {MAX_LEFT_OUT} per request; ask for fewer")
    if not all(0 <= place < len(request.history) for place in left_out):
        raise InvalidAnswer(f"a place outside the history of {len(request.history)} events; ask for places in it")


def check_count(items: Sequence[Candidate]) -> None:
    """Raises `InvalidAnswer` for more items than one request may have."""
    if len(items) > MAX_DESCRIBED:
        raise InvalidAnswer(f"{len(items)} items, at most {MAX_DESCRIBED} per request; split the request")
