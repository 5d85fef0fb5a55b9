"""What a user did: the values of `ouzel.events`, keyed by user."""

from enum import StrEnum

import msgspec

from schemas.limits import Id, Millis, Rating, Scene, Sentence


class EventKind(StrEnum):
    VIEW = "view"
    CLICK = "click"
    LIKE = "like"
    DISLIKE = "dislike"
    CART = "cart"
    PURCHASE = "purchase"
    RATE = "rate"
    DISMISS = "dismiss"
    STEER = "steer"
    FORGET = "forget"
    ERASE = "erase"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1, gc=False):
    """One thing that one user did. `schemas.actions` says what each kind means.

    `ts` is when it happened (milliseconds since 1970). `item` is required for every kind but `steer`, `forget` and
    `erase`; `value` (0 to 5) for `rate`; `text` for `steer`; `target`, the id of the event to forget, for `forget`.
    `erase` clears everything of the user; its `id` is that of the erasure order, and of the receipt. `list` names the
    recommendation list that the user was looking at, if any: the event then reacts to no other.

    `steer` is accepted and kept in the user's context (the last three sentences), and calls for a list. Only a model
    that reads its prompt as text (`inference.full_text`) is told the sentences. The default model, of item tokens,
    reads none, nor do candidates and blend: there a steer event changes no list. Workers log this once and count such
    events in `ouzel_unhonoured_steers_total`.
    """

    id: Id
    user: Id
    kind: EventKind
    ts: Millis
    item: Id | None = None
    scene: Scene = "default"
    value: Rating | None = None
    text: Sentence | None = None
    target: Id | None = None
    list: Id | None = None
