"""Erasing a person: what is known of an order once it has been carried out. Pure: no clock, no network, no global.

An order is an `erase` event among the person's others, so that it has one place in their order: what stands before it
is cleared, what comes after it starts anew. With the context goes the stamp that makes redelivery harmless; in its
place stays, for `KEPT_MS`, that an order was carried out at an offset, and a digest by which the person is known again
if their events from before it are delivered again. It holds no id; whoever has both the digest and a list of ids can
try them, which is why it goes after a day.
"""

from hashlib import blake2b

import msgspec

from schemas.events import Event
from schemas.privacy import ErasureReceipt

KEPT_MS = 86_400_000
"""How long an order is remembered: far longer than from folding an event to committing it."""

MAX_VERSIONS = 32
"""Model versions remembered of a person: those that were last to read what they did."""

CONTEXT_PART, LISTS_PART, VERSIONS_PART = "context", "open-lists", "model-versions"

REMAINS = ("ouzel.events", "ouzel.recommendations", "ouzel.feedback", "ouzel.dead-letters", "ouzel.privacy")
"""Topics that are kept by time: what they hold of the person goes with their retention."""


class Versions(msgspec.Struct, frozen=True, array_like=True):
    """The model versions that read what a person did, oldest first."""

    names: tuple[str, ...] = ()


NO_VERSIONS = Versions()


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """An order that was carried out at `offset` of the partition, at `ts` (milliseconds since 1970).

    `order` and `person` are digests; `parts` is what was found and cleared, `versions` who had read it.
    """

    order: bytes
    person: bytes
    offset: int
    ts: int
    parts: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


def order_digest(order: str, user: str) -> bytes:
    """What an order is known by: 16 bytes of its id and the person together."""
    return blake2b(f"{order}\0{user}".encode(), digest_size=16).digest()


def person_digest(user: str, order: bytes) -> bytes:
    """What the person of an order is known by, another with each order: 8 bytes."""
    return blake2b(user.encode(), key=order, digest_size=8).digest()


def covers(erasure: Erasure, user: str, offset: int) -> bool:
    """Whether the event of `user` at `offset` stands before the order, and so must not be folded again."""
    return offset <= erasure.offset and erasure.person == person_digest(user, erasure.order)


def with_version(versions: Versions, name: str) -> Versions:
    """The versions with `name` among them; the same object if it is already."""
    return versions if name in versions.names else Versions((*versions.names, name)[-MAX_VERSIONS:])


def receipt(
    erasure: Erasure,
    event: Event,
    partition: int,
    *,
    base: int = 0,
    person: str,
    found: tuple[str, ...],
    left: tuple[str, ...],
) -> ErasureReceipt:
    """The receipt for the order `event` about somebody who is kept as `person`. `base` was added to the offsets of the
    topic as it is now. `found` are the parts cleared beside the state, `left` those that were not."""
    state = f"@ouzel.contexts/{partition}"
    return ErasureReceipt(
        order=event.id,
        user=event.user,
        ts=erasure.ts,
        cleared=(*(part + state for part in erasure.parts), *found),
        model_versions=erasure.versions,
        remains=(*left, *(f"records@{topic}" for topic in REMAINS)),
        partition=partition,
        offset=erasure.offset if erasure.offset < base else erasure.offset - base,
        person=None if person == event.user else person,
    )
