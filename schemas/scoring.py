"""The port between the event plane and the model plane: `streams` calls a `Scorer`, `inference` implements it.

    ScoringError
    ├── DeadlineExceeded    no answer within the timeout
    ├── Unavailable         no server, or the server has no model
    ├── Overloaded          too many requests in flight; not sent
    ├── InvalidAnswer       not one finite score per candidate, or not one finite vector per item
    └── CircuitOpen         recent requests failed; not sent until the breaker tries again

On any of them the caller publishes the behavioural list, with the error's `degraded` code.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Protocol

import msgspec
from msgspec import Meta

from schemas.limits import Millis
from schemas.recommendations import Degraded

MAX_ABOUT = 300
"""Maximum characters of an item's attributes and description, without its title."""

MAX_DESCRIBED = 64
"""Maximum items of one `describe` call."""

MAX_FORGOTTEN = 1_000
"""Maximum sessions of one `forget` call."""

MAX_NAMES = 128
"""Maximum names of one `interpret` call."""

MAX_LEFT_OUT = 64
"""Maximum events that one `without` call leaves out, one at a time."""

MAX_WIDTH = 2_048
"""Maximum length of a vector."""

About = Annotated[str, Meta(max_length=MAX_ABOUT)]
Feeling = Annotated[int, Meta(ge=-2, le=2)]


class Past(msgspec.Struct, frozen=True, omit_defaults=True):
    """One past event of the user, as the model reads it.

    `text` is the item's title, `about` its attributes and description, `item` its id (for parameters that a model has
    learned for this item; the text is enough without them). `kind` is the kind of event; `feeling` is how much the user
    liked the item, from -2 (strongly disliked) to 2; `ts` is when it happened, in milliseconds since 1970.
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
    """A request to score candidates for one user.

    `session` is an opaque number for the prefix cache: stable for a user as long as the state of their partition lives,
    and not derivable from the user id without a secret; below 0 for a context that is no user's. `history` holds the
    user's events of every kind, oldest first. `candidates` may be empty if only the context's vector is wanted. Text is
    data: it cannot change the instructions, and one candidate's text cannot change another candidate's score.
    """

    session: int
    scene: str
    history: tuple[Past, ...]
    candidates: tuple[Candidate, ...]
    steer: tuple[str, ...] = ()


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """One finite score per candidate, in request order; higher is better. Comparable only within one request.

    `vector` is the context's vector: its dot product with an item's vector of the same `model_version` is the item's
    logit. Empty if the model has no vectors.
    """

    scores: tuple[float, ...]
    model_version: str
    vector: tuple[float, ...] = ()


class ItemVectors(msgspec.Struct, frozen=True, kw_only=True):
    """One vector per item, in request order.

    `values` are float32, little-endian, row-major [n, width]. `width` is 0 if the model has no vectors.
    """

    width: int
    values: bytes
    model_version: str


class Interpretation(msgspec.Struct, frozen=True, kw_only=True):
    """What a sentence asks for: for each name that was offered, in order, how much more of it (above 0, at most 1) or
    less (below 0, at least -1); 0 for names that it does not speak of."""

    strengths: tuple[float, ...]
    model_version: str


class Scorer(Protocol):
    @property
    def keeps_here(self) -> bool:
        """Whether cached sessions live in this process, where no other worker can drop them."""

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        """Score the candidates within `timeout` seconds, or raise a `ScoringError`.

        `number` names the version of the model (`schemas.models.ModelStatus`); None: the only one. If that version is
        not loaded, another one answers: `Scores.model_version` says which.
        """

    async def describe(self, items: Sequence[Candidate], *, timeout: float, number: int | None = None) -> ItemVectors:
        """Return the vectors of at most `MAX_DESCRIBED` items within `timeout` seconds, or raise a `ScoringError`.
        `number` is as for `score`.

        One call at a time. It takes no request slots from `score`, and its failures do not open the circuit breaker.
        """

    async def interpret(self, sentence: str, names: Sequence[str], *, timeout: float) -> Interpretation:
        """Read a sentence of a user within `timeout` seconds: of which of at most `MAX_NAMES` names it asks for more or
        less. Raises a `ScoringError`.

        One call at a time. It takes no request slots from `score`, and its failures do not open the circuit breaker.
        """

    async def without(
        self, request: ScoreRequest, left_out: Sequence[int], *, timeout: float, number: int | None = None
    ) -> tuple[Scores, ...]:
        """Score the candidates within `timeout` seconds with the whole history, and then without each of its events in
        `left_out`, at most `MAX_LEFT_OUT` places, one at a time; one `Scores` for each. Raises a `ScoringError`.
        `number` is as for `score`.

        One call at a time, which gives way to `score`. It takes no request slots from it, and its failures do not open
        the circuit breaker.
        """

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        """Drop the caches of at most `MAX_FORGOTTEN` sessions, or of all (None), within `timeout` seconds, or raise a
        `ScoringError`."""

    async def ready(self, number: int | None = None) -> bool:
        """Whether the next request is likely to be answered, by version `number` if given. Never raises."""

    async def close(self) -> None:
        """Release connections and memory. Idempotent."""


class ScoringError(Exception):
    """The model could not contribute to this list. `retriable` says whether a later attempt can succeed."""

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
