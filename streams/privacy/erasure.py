"""Erasing a user: what is remembered of an executed order. Pure: no clock, no network, no global.

An order is an `erase` event among the user's others, so it has one place in their order: everything before it is
cleared, everything after it begins with an empty context. The stamp that makes redelivery harmless goes with the
context. Instead, the offset of the order and a digest stay for `KEPT_MS`: by these the user is recognized if older
events are delivered again. The record holds no id; but a list of ids could be tried against the digest, so it is
deleted after a day.
"""

from hashlib import blake2b

import msgspec

from schemas.events import Event
from schemas.privacy import ErasureReceipt

KEPT_MS = 86_400_000
"""How long an order is remembered: far longer than the time from folding an event to committing it."""

MAX_VERSIONS = 32
"""Model versions remembered for a user: the last that read the user's events."""

CONTEXT_PART, LISTS_PART, VERSIONS_PART = "context", "open-lists", "model-versions"

REMAINS = ("ouzel.events", "ouzel.recommendations", "ouzel.feedback", "ouzel.dead-letters", "ouzel.privacy")
"""Topics with retention by time: the user's records on them expire with it."""


class Versions(msgspec.Struct, frozen=True, array_like=True):
    """The model versions that read a user's events, oldest first."""

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
    """The digest of an order: 16 bytes, of its id and the user together."""
    return blake2b(f"{order}\0{user}".encode(), digest_size=16).digest()


def user_digest(user: str, order: bytes) -> bytes:
    """The digest of an order's user: 8 bytes, different for each order."""
    return blake2b(user.encode(), key=order, digest_size=8).digest()


def covers(erasure: Erasure, user: str, offset: int) -> bool:
    """Whether the event of `user` at `offset` precedes the order, and so must not be folded again."""
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
    """The receipt for the order `event` of a user stored as `alias`. `base` was added to the topic's offsets.
    `found` are the parts cleared beside the state, `left` those that were not."""
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
