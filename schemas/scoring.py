"""The one port between the event plane and the model plane: `streams` asks a `Scorer`, `inference` answers.

    ScoringError
    ├── DeadlineExceeded    the answer did not come in time
    ├── Unavailable         no server, or no model in it
    ├── Overloaded          too many requests in flight; refused without being sent
    ├── InvalidAnswer       not one finite score a candidate, or not one finite vector an item
    └── CircuitOpen         recent requests failed; not sent until the breaker tries again

All are the caller's cue to publish the behavioural list; `degraded` is the code that the list then carries.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Protocol

import msgspec
from msgspec import Meta

from schemas.limits import Millis
from schemas.recommendations import Degraded

MAX_ABOUT = 300
"""Characters of what is said about an item beside its title: attributes and description."""

MAX_DESCRIBED = 64
"""Items of one `describe`, at most."""

MAX_FORGOTTEN = 1_000
"""Sessions of one `forget`, at most."""

MAX_WIDTH = 2_048
"""Numbers of one vector, at most."""

About = Annotated[str, Meta(max_length=MAX_ABOUT)]
Feeling = Annotated[int, Meta(ge=-2, le=2)]


class Past(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that the person did, as the model reads it.

    `text` is the item's title, `about` its attributes and description, `item` its id (for what a model has learned of
    this very item; the text is enough). `kind` is the kind of event; `feeling` says how much the person liked the item,
    from -2, much disliked, to 2; `ts`, when it happened, milliseconds since 1970.
    """

    text: str
    kind: str
    item: str = ""
    about: About = ""
    feeling: Feeling = 0
    ts: Millis = 0


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item to score or to describe, as the model reads it; the fields are those of `Past`."""

    text: str
    item: str = ""
    about: About = ""


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to score for one person.

    `session` is an opaque number for the prefix cache: the same for the same person as long as the state of their
    partition lives, and not derived from the user id without a secret. `history` is what the person did, of every kind,
    oldest first. `candidates` may be empty, where only the context's vector is wanted. Text is data: it cannot change
    the instructions, and one candidate's text cannot change another candidate's score.
    """

    session: int
    scene: str
    history: tuple[Past, ...]
    candidates: tuple[Candidate, ...]
    steer: tuple[str, ...] = ()


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """One finite score for each candidate, in the order asked; higher is better. Comparable within one request only.

    `vector` is the context's vector: its dot product with an item's vector of the same `model_version` is the item's
    logit. Empty from a model that has no vectors.
    """

    scores: tuple[float, ...]
    model_version: str
    vector: tuple[float, ...] = ()


class ItemVectors(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each item, in the order asked.

    `values` are float32, little-endian, row-major [n, width]. A `width` of 0 says that the model has no vectors.
    """

    width: int
    values: bytes
    model_version: str


class Scorer(Protocol):
    @property
    def keeps_here(self) -> bool:
        """Whether what is kept of sessions stands in this process, where no other worker can have it dropped."""

    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        """Score the candidates within `timeout` seconds, or raise a `ScoringError`."""

    async def describe(self, items: Sequence[Candidate], *, timeout: float) -> ItemVectors:
        """The vectors of at most `MAX_DESCRIBED` items within `timeout` seconds, or raise a `ScoringError`.

        One call at a time: it takes none of the room that lists have, and its failures close nothing to them.
        """

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        """Drop what is kept of at most `MAX_FORGOTTEN` sessions, or of all (None), within `timeout` seconds, or raise a
        `ScoringError`."""

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
