"""Lists over HTTP: `POST /v1/recommend` and `GET /v1/recommendations/{user}`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.limits import (
    MAX_LIST_ENTRIES,
    MAX_STEERS,
    Attribute,
    Finite,
    Id,
    Millis,
    Rating,
    Scene,
    Sentence,
    Title,
)
from schemas.recommendations import Degraded, Reason, Unasked, Wished

MAX_DONE = 100
"""Events or likes of a request."""

MAX_NAMED = 1_000
"""Items that a request allows or excludes."""

MAX_FILTERED = 8
"""Attributes of one part of a filter."""

MAX_RECOMMEND_BYTES = 512 * 1024

Count = Annotated[int, Meta(ge=1, le=MAX_LIST_ENTRIES)]
Attributes = Annotated[tuple[Attribute, ...], Meta(max_length=MAX_FILTERED)]
Named = Annotated[tuple[Id, ...], Meta(max_length=MAX_NAMED)]


class Done(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that the reader of the list did, oldest first. The fields are those of an event; without `ts` it
    happened now, without `scene` in that of the list."""

    kind: Literal["view", "click", "like", "dislike", "cart", "purchase", "rate", "dismiss", "steer"]
    item: Id | None = None
    ts: Millis | None = None
    scene: Scene | None = None
    value: Rating | None = None
    text: Sentence | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The items that may be on the list: with all attributes of `all_of`, one or more of `any_of`, none of `none_of`,
    and among `items`. What is left out does not restrict. It holds before items are ranked."""

    all_of: Attributes = ()
    any_of: Attributes = ()
    none_of: Attributes = ()
    items: Named | None = None


class RecommendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a list: for `user`, or for someone who did `events` and likes `likes`, and nothing else. Without
    any, the list is that of someone who is new. `exclude` are items that must not be on it."""

    user: Id | None = None
    events: Annotated[tuple[Done, ...], Meta(max_length=MAX_DONE)] = ()
    likes: Annotated[tuple[Id, ...], Meta(max_length=MAX_DONE)] = ()
    scene: Scene = "default"
    count: Count | None = None
    filter: Filter = Filter()
    exclude: Named = ()


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scene`: that of the list; without it, of the last one, or "default". At most `count` entries."""

    scene: Scene | None = None
    count: Count | None = None


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One place on a list. `score` orders the list and compares only with others of it."""

    item: Id
    title: Title
    score: Finite
    reason: Reason


class RecommendedList(msgspec.Struct, frozen=True, kw_only=True):
    """A list, best first.

    `origin` is `published` for the last list on `ouzel.recommendations`, whose `id` and `trigger` are given, and `made`
    for one that was made for this request and is stored nowhere. `cold` says that nothing is known of whom it is for.
    `model_version`, `degraded`, `unasked` and `wishes` are as in `Recommendation`. `ts` is when it was made, `took_ms`
    how long that took.
    """

    entries: Annotated[tuple[ListEntry, ...], Meta(max_length=MAX_LIST_ENTRIES)]
    origin: Literal["published", "made"]
    cold: bool
    scene: Scene
    ts: Millis
    took_ms: Finite
    model_version: Id | None = None
    degraded: Degraded | None = None
    unasked: Unasked | None = None
    wishes: Annotated[tuple[Wished, ...], Meta(max_length=MAX_STEERS)] = ()
    id: Id | None = None
    trigger: Id | None = None
