"""What an evaluation draws: which events are tests, and how ties fall. Each is a keyed hash of the event.

So a draw follows from the event alone, not from where it stands in a file or in turn among users; it is the same for
every method, on every machine and in every process.
"""

import xxhash

from schemas.events import Event

TESTS_KEY = 0x7465_7374
"""Added to the tie seed: the key under which tests are drawn."""

TIES_KEY = 0x7469_6573
"""The same for the place of an item among those of one score."""


def drawn(event: Event, key: int) -> float:
    """At least 0 and below 1: the XXH3 digest, under `key`, of the event's user, item and time."""
    parts = (event.user, event.item or "", str(event.ts))
    told = "".join(f"{len(part)}:{part}" for part in parts)
    return (xxhash.xxh3_64_intdigest(told.encode(), key) >> 11) / 2**53
