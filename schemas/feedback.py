"""What became of each list: the values of `ouzel.feedback`, keyed by user."""

from enum import StrEnum

import msgspec

from schemas.events import EventKind
from schemas.limits import Id, Millis, Probability, Scene, Version


class Outcome(StrEnum):
    TAKEN = "taken"
    REJECTED = "rejected"
    NOT_TAKEN = "not_taken"


class Closed(StrEnum):
    """What ended the attribution of a list that was not taken."""

    WINDOW = "window"
    SUPERSEDED = "superseded"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    item: Id
    propensity: Probability


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One list joined with one reaction to it, or with none.

    `id` is made from the list and the event, so that a repeat after a crash has the same id. For `taken` and
    `rejected`, `item`, `position` (from 0), `propensity`, `event`, `kind` and `delay_ms` say which entry, and what was done
    how long after the list was published. `reward` is above 0 for taken, below for rejected, 0 for not taken.
    For `not_taken`, `shown` holds the whole list and `closed` says what ended the wait.
    """

    v: Version = 1
    id: Id
    list: Id
    user: Id
    scene: Scene
    ts: Millis
    outcome: Outcome
    reward: float
    item: Id | None = None
    position: int | None = None
    propensity: Probability | None = None
    event: Id | None = None
    kind: EventKind | None = None
    delay_ms: float | None = None
    model_version: str | None = None
    closed: Closed | None = None
    shown: tuple[Shown, ...] = ()
