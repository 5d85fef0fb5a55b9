"""Erasing a user: what is known of an order once it has been carried out. Pure: no clock, no network, no global.

An order is an `erase` event among the user's others, so that it has one place in their order: everything before it is
cleared, everything after it begins with an empty context. With the context goes the stamp that makes redelivery
harmless. In its place stay, for `KEPT_MS`, the offset of the order and a digest by which the user is recognized if
older events are delivered again. The record holds no id; with the digest and a list of ids, one could try them, so it
is deleted after a day.
"""

from hashlib import blake2b

import msgspec

from schemas.events import Event
from schemas.privacy import ErasureReceipt

KEPT_MS = 86_400_000
"""How long an order is remembered: far longer than from folding an event to committing it."""

MAX_VERSIONS = 32
"""Model versions remembered for a user: the last that read what they did."""

CONTEXT_PART, LISTS_PART, VERSIONS_PART = "context", "open-lists", "model-versions"

REMAINS = ("ouzel.events", "ouzel.recommendations", "ouzel.feedback", "ouzel.dead-letters", "ouzel.privacy")
"""Topics with retention by time: what they hold of the user goes with it."""


class Versions(msgspec.Struct, frozen=True, array_like=True):
    """The model versions that read what a user did, oldest first."""

    names: tuple[str, ...] = ()


NO_VERSIONS = Versions()


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """An order that was carried out at `offset` of the partition, at `ts` (milliseconds since 1970).

    `order` and `user` are digests; `parts` was found and cleared, and `versions` of models had read it.
    """

    order: bytes
    user: bytes
    offset: int
    ts: int
    parts: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


def order_digest(order: str, user: str) -> bytes:
    """What an order is known by: 16 bytes, of its id and the user together."""
    return blake2b(f"{order}\0{user}".encode(), digest_size=16).digest()


def user_digest(user: str, order: bytes) -> bytes:
    """What the user of an order is known by: 8 bytes, different for each order."""
    return blake2b(user.encode(), key=order, digest_size=8).digest()


def covers(erasure: Erasure, user: str, offset: int) -> bool:
    """Whether the event of `user` at `offset` stands before the order, and so must not be folded again."""
    return offset <= erasure.offset and erasure.user == user_digest(user, erasure.order)


def with_version(versions: Versions, name: str) -> Versions:
    """The versions with `name` among them; the same object if it is already."""
    return versions if name in versions.names else Versions((*versions.names, name)[-MAX_VERSIONS:])


def receipt(
    erasure: Erasure,
    event: Event,
    partition: int,
    *,
    base: int = 0,
    alias: str,
    found: tuple[str, ...],
    left: tuple[str, ...],
) -> ErasureReceipt:
    """The receipt for the order `event`, about a user who is kept as `alias`. `base` was added to the offsets of the
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
        person=None if alias == event.user else alias,
    )
