"""What became of each list: the values of `ouzel.feedback`, keyed by user."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.events import EventKind
from schemas.limits import MAX_LIST_ENTRIES, Digest, Finite, Id, Length, Millis, Position, Probability, Rating, Scene


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


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """One list joined with one reaction to it, or with none.

    `id` is made from the list and the event, so that a repeat after a crash has the same id. For `taken` and
    `rejected`, `item`, `position` (from 0), `propensity`, `event`, `kind` and `delay_ms` say which entry, and what was
    done how long after the list was published; `value` is the rating, for `rate`. `reward` (-1 to 1) is above 0 for a
    like, below for a rejection; between the two, a rating may have either. For `not_taken`, `reward` is 0, `closed`
    says what ended the wait, and `delay_ms` how long it was.

    `shown` holds the first 20 entries of the list in order, each with its probability given those above. It is there
    once a list: with its first reaction, or with `not_taken`. Records written before `value` have none, nor `shown`
    with reactions: `inference.training.feedback` derives the rating from the reward, which is exact from 1 upwards.
    `context` is that of the list (`Recommendation.context`).

    With `shown` come what the model said of the list when it was made: `chance`, its probability that the next like is
    in these entries (absent without a model), and `history`, of how many of the user's newest events it was made.
    """

    id: Id
    list: Id
    user: Id
    scene: Scene
    ts: Millis
    outcome: Outcome
    reward: Finite
    item: Id | None = None
    position: Position | None = None
    propensity: Probability | None = None
    event: Id | None = None
    kind: EventKind | None = None
    delay_ms: Finite | None = None
    model_version: Id | None = None
    closed: Closed | None = None
    shown: Annotated[tuple[Shown, ...], Meta(max_length=MAX_LIST_ENTRIES)] = ()
    value: Rating | None = None
    context: Digest | None = None
    chance: Probability | None = None
    history: Length | None = None
