"""The one port between the event plane and the model plane: `streams` asks a `Scorer`, `inference` answers.

    ScoringError
    ├── DeadlineExceeded    the answer did not come in time
    ├── Unavailable         no server, or no model in it
    ├── Overloaded          too many requests in flight; refused without being sent
    ├── InvalidAnswer       not one finite score a candidate
    └── CircuitOpen         recent requests failed; not sent until the breaker tries again

All are the caller's cue to publish the behavioural list; `degraded` is the code that the list then carries.
"""

from typing import ClassVar, Protocol

import msgspec

from schemas.recommendations import Degraded


class Past(msgspec.Struct, frozen=True):
    """One thing that the person did, as the model reads it: the item's text and the kind of event."""

    text: str
    kind: str


class Candidate(msgspec.Struct, frozen=True):
    """One item to score, as the model reads it."""

    text: str


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to score for one person.

    `session` is an opaque number that is the same for the same person within one worker's life, for the prefix cache;
    it is not derived from the user id without a secret. `history` is oldest first. Text is data: it cannot change the
    instructions, and one candidate's text cannot change another candidate's score.
    """

    session: int
    scene: str
    history: tuple[Past, ...]
    candidates: tuple[Candidate, ...]
    steer: tuple[str, ...] = ()


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """One finite score for each candidate, in the order asked; higher is better. Comparable within one request only."""

    scores: tuple[float, ...]
    model_version: str


class Scorer(Protocol):
    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        """Score the candidates within `timeout` seconds, or raise a `ScoringError`."""

    async def ready(self) -> bool:
        """Whether the next request is likely to be answered. Never raises."""

    async def close(self) -> None:
        """Release connections and memory. Idempotent."""


class ScoringError(Exception):
    """The model has no part in this list. `retriable` says whether asking again later can help."""

    degraded: ClassVar[Degraded]
    retriable: ClassVar[bool] = True


class DeadlineExceeded(ScoringError):
    degraded = Degraded.DEADLINE


class Unavailable(ScoringError):
    degraded = Degraded.UNAVAILABLE


class Overloaded(ScoringError):
    degraded = Degraded.OVERLOADED


class InvalidAnswer(ScoringError):
    degraded = Degraded.INVALID
    retriable = False


class CircuitOpen(ScoringError):
    degraded = Degraded.CIRCUIT_OPEN
