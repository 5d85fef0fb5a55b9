"""Pseudorandom draws of an evaluation: which events are tests, and how ties are broken. Each is a keyed hash.

A draw depends only on the event, not on its position in a file or among users. It is the same for every method, on
every machine and in every process.
"""

import xxhash

from schemas.events import Event

TESTS_KEY = 0x7465_7374
"""Added to the tie seed, this is the key for drawing tests."""

TIES_KEY = 0x7469_6573
"""Added to the tie seed, this is the key for the position of an item among ties."""


def drawn(event: Event, key: int) -> float:
    """A number from 0 to below 1: the XXH3 digest, under `key`, of the event's user, item and time."""
    parts = (event.user, event.item or "", str(event.ts))
    encoded = "".join(f"{len(part)}:{part}" for part in parts)
    return (xxhash.xxh3_64_intdigest(encoded.encode(), key) >> 11) / 2**53
