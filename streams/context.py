"""A person's rolling context, and how one event changes it. Pure: no clock, no network, no global.

A context is bounded whatever the person does: at most `MAX_SCENES` scenes, each with `MAX_RECENT` interactions of any
kind, `MAX_LIKES` likes and `MAX_DISLIKES` dislikes; `MAX_SEEN` seen items at 8 bytes each; `MAX_IDS` event ids at 9;
`MAX_STEERS` sentences. `MAX_CONTEXT_BYTES` is the most that one takes on the changelog, with every identifier at its
greatest length in four-byte characters.

Interest by attribute is not stored: it follows from the likes and dislikes (`streams.interests`), so that forgetting one
event leaves nothing behind.
"""

from hashlib import blake2b

import msgspec

from schemas.events import Event, EventKind

MAX_SCENES = 4
MAX_RECENT = 50
MAX_LIKES = 50
MAX_DISLIKES = 20
MAX_SEEN = 1024
MAX_IDS = 32
MAX_STEERS = 3
MAX_CONTEXT_BYTES = 320_000

LIKED_RATING = 4.0
DISLIKED_RATING = 2.0


class Interaction(msgspec.Struct, frozen=True, array_like=True):
    """One thing that the person did to one item; `event` is the digest of the event's id."""

    item: str
    kind: EventKind
    ts: int
    event: int
    value: float | None = None


class SceneContext(msgspec.Struct, frozen=True, array_like=True):
    """What the person did in one scene, oldest first. `liked` counts every like ever folded here."""

    recent: tuple[Interaction, ...] = ()
    likes: tuple[Interaction, ...] = ()
    dislikes: tuple[Interaction, ...] = ()
    liked: int = 0


class Steer(msgspec.Struct, frozen=True, array_like=True):
    """A sentence in which the person said what they want."""

    text: str
    ts: int
    event: int


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything kept of one person.

    `offset` is the last offset of the person's partition of `ouzel.events` that is folded in: what comes again at or
    before it changes nothing. `ids` are the digests of the last event ids, to drop a producer's repeats. `seen` is a
    row of 8-byte item digests, oldest first.
    """

    v: int = 1
    offset: int = -1
    ts: int = 0
    scenes: dict[str, SceneContext] = {}
    seen: bytes = b""
    ids: tuple[int, ...] = ()
    steers: tuple[Steer, ...] = ()


EMPTY = Context()


def digest(identifier: str) -> int:
    """The 64-bit digest under which an item or event id is remembered."""
    return int.from_bytes(blake2b(identifier.encode(), digest_size=8).digest(), "little")


def sentiment(kind: EventKind, value: float | None = None) -> int:
    """1 if the event says that the person likes the item, -1 if that they do not, else 0."""
    match kind:
        case EventKind.CLICK | EventKind.LIKE | EventKind.CART | EventKind.PURCHASE:
            return 1
        case EventKind.DISLIKE | EventKind.DISMISS:
            return -1
        case EventKind.RATE if value is not None:
            return 1 if value >= LIKED_RATING else -1 if value <= DISLIKED_RATING else 0
        case _:
            return 0


def fold(context: Context, event: Event, offset: int) -> Context:
    """The context after `event`, which stands at `offset` of its partition. A repeat only moves the offset stamp."""
    raise NotImplementedError
