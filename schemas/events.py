"""User events: the values of `ouzel.events`, keyed by user."""

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
    """One action of one user. `schemas.actions` says what each kind means.

    `ts` is when it happened (milliseconds since 1970). `item` is required for every kind but `steer`, `forget` and
    `erase`; `value` (0 to 5) for `rate`; `text` for `steer`; `target`, the id of the event to forget, for `forget`.
    `erase` clears all of the user's data; its `id` is that of the erasure order and of the receipt. `list` is the id of
    the recommendation list that the user was looking at, if any: the event then reacts to no other.

    A `steer` event is stored in the user's context (the last three sentences) and triggers a list. The model reads of
    which attributes and items the sentence asks for more or less, and it changes the user's lists until it expires or
    is forgotten; lists name it in `wishes`.
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
