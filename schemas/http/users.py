"""Users over HTTP: what is stored of one, wishes, explanations and erasures."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.events import EventKind
from schemas.http.lists import RecommendedList
from schemas.limits import MAX_STEERS, Finite, Id, Millis, Rating, Scene, Sentence, TopicName

MAX_SCENES, MAX_DONE_IN_SCENE, MAX_OPEN, MAX_ITEMS, MAX_VERSIONS, MAX_CAUSES = 4, 50, 4, 20, 32, 5

EventDigest = Annotated[str, Meta(min_length=16, max_length=16)]
"""The digest of an event's id, under which the state remembers it, in hexadecimal."""


class UserPath(msgspec.Struct, frozen=True, kw_only=True):
    user: Id


class SteerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence in which a user says what they want, `text`; or the id of such an event, to `undo` it. One of the
    two."""

    user: Id
    text: Sentence | None = None
    undo: Id | None = None
    scene: Scene = "default"


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """The id of the event that Kafka has: undo a sentence by it."""

    id: Id


class ExplanationPath(msgspec.Struct, frozen=True, kw_only=True):
    list: Id
    item: Id


class ExplanationQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user whose list it is."""

    user: Id


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the user, what it adds to the score of the entry, and the place without it, from 1."""

    item: Id
    kind: EventKind
    ts: Millis
    adds: Finite
    place_without: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why an entry is on a list: a sentence in the language `language`, and the events of the last `events` that change
    its score most, strongest first. `score` and `place`, from 1, are before diversity."""

    sentence: str
    language: str
    score: Finite
    place: int
    events: int
    causes: Annotated[tuple[Cause, ...], Meta(max_length=MAX_CAUSES)]
    model_version: Id | None


class Interaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the user did with an item; `event` is the digest of the event's id."""

    item: Id
    kind: EventKind
    ts: Millis
    event: EventDigest
    value: Rating | None = None


Interactions = Annotated[tuple[Interaction, ...], Meta(max_length=MAX_DONE_IN_SCENE)]


class SceneView(msgspec.Struct, frozen=True, kw_only=True):
    """What the user did in a scene, oldest first. `liked` counts every like, `met` every event about an item."""

    recent: Interactions
    likes: Interactions
    dislikes: Interactions
    liked: int
    met: int


class SteerView(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of the user."""

    text: Sentence
    ts: Millis
    event: EventDigest


class UserContext(msgspec.Struct, frozen=True, kw_only=True):
    """What lists for a user are made from. `ts` is the time of the last event, `seen` the number of marks of items that
    the user has seen: the marks are digests, which cannot be read back."""

    user: Id
    ts: Millis
    scenes: Annotated[dict[Scene, SceneView], Meta(max_length=MAX_SCENES)]
    steers: Annotated[tuple[SteerView, ...], Meta(max_length=MAX_STEERS)]
    seen: int


class OpenList(msgspec.Struct, frozen=True, kw_only=True):
    """A published list that waits for a reaction: the first of its items."""

    id: Id
    ts: Millis
    scene: Scene
    items: Annotated[tuple[Id, ...], Meta(max_length=MAX_ITEMS)]
    model_version: Id | None


class UserExport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that workers store of a user. `stored_as` is the name of the state, a pseudonym where there is a key;
    `model_versions` read the user's events to make lists. Records of the user on the topics in `elsewhere` stay until
    these topics' retention ends."""

    user: Id
    stored_as: Id
    context: UserContext
    open_lists: Annotated[tuple[OpenList, ...], Meta(max_length=MAX_OPEN)]
    model_versions: Annotated[tuple[Id, ...], Meta(max_length=MAX_VERSIONS)]
    last_list: RecommendedList | None
    elsewhere: tuple[TopicName, ...]


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The id of the erasure order that Kafka has. Its receipt will be on `ouzel.privacy-receipts`."""

    order: Id
