"""How a request and its answer travel to Triton: MessagePack in one bytes tensor; FP32 scores and the version back."""

import math
from collections.abc import Sequence

import msgspec

from inference.errors import RequestRefused
from schemas.scoring import InvalidAnswer, ScoreRequest, Scores

REQUEST = "request"
SCORES = "scores"
VERSION = "version"

MAX_REQUEST_BYTES = 1024 * 1024
"""A longer request is refused unread."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ScoreRequest)


def encode(request: ScoreRequest) -> bytes:
    return _encoder.encode(request)


def decode(payload: bytes) -> ScoreRequest:
    """Raises `RequestRefused`, whatever the bytes are."""
    if len(payload) > MAX_REQUEST_BYTES:
        raise RequestRefused(f"a request of {len(payload)} bytes, at most {MAX_REQUEST_BYTES} are read; send less text")
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(f"not a scoring request: {error}; client and server must be of one version") from None


def answer(scores: Sequence[float], asked: int, version: str) -> Scores:
    """The scores, checked. Raises `InvalidAnswer` unless there is one finite number a candidate."""
    if len(scores) != asked:
        raise InvalidAnswer(f"{len(scores)} scores for {asked} candidates; look at the model's log")
    if not all(map(math.isfinite, scores)):
        raise InvalidAnswer(f"a score of {version or 'the model'} is not finite; use another version of the model")
    return Scores(scores=tuple(map(float, scores)), model_version=version)
