"""`POST /v1/events`: events as JSON, as on `ouzel.events`; the server adds an id or a time that is missing."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.events import EventKind
from schemas.limits import Id, Millis, Rating, Scene, Sentence

MAX_EVENTS = 500
MAX_EVENTS_BYTES = 256 * 1024


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to send, with the fields of `Event`. Without `id`, the server draws one; without `ts`, it happened now.
    Send ids of your choice if you retry: an event with an id that the user's last events had counts once."""

    user: Id
    kind: EventKind
    id: Id | None = None
    ts: Millis | None = None
    item: Id | None = None
    scene: Scene = "default"
    value: Rating | None = None
    text: Sentence | None = None
    target: Id | None = None
    list: Id | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of the events that Kafka has, in the order of the request."""

    ids: Annotated[tuple[Id, ...], Meta(max_length=MAX_EVENTS)]


NewEvents = NewEvent | Annotated[tuple[NewEvent, ...], Meta(min_length=1, max_length=MAX_EVENTS)]
"""One event, or several. All are sent, or none."""
