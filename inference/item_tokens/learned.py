"""What an adapter has learned from, so that it is never judged by events that it has seen.

An adapter records each catalogue that it learned from: a name, the time before which its events were, and a sketch of
its items. Data with the same items is taken for the same data: its events before that time may have been seen. Items
are the same if both id and title are. Nothing of users is recorded.

The sketch is a bottom-k sample (E. Cohen and H. Kaplan, "Summarizing data using bottom-k sketches", PODC 2007): the
smallest digests of all items are a random sample of them, and the sketch of a union is made from the sketches.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import xxhash
from msgspec import Meta

SKETCH = 128
"""Digests in a sketch, at most: 2 KiB."""

SHARED = 2
"""This many shared digests make two catalogues the same. One may be chance: other data can have an item 1 of the same
title."""

MOST_SOURCES = 16
"""Sources that an adapter records; more are merged into the oldest."""


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """One source of events. `data` names it; its learned events were before `until` (milliseconds); `items` is the
    sketch of its catalogue."""

    data: Annotated[str, Meta(max_length=200)]
    until: int
    items: Annotated[tuple[Annotated[str, Meta(max_length=16)], ...], Meta(max_length=SKETCH)]


def sketch(items: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The sketch of a catalogue of (id, title), in ascending order."""
    return tuple(sorted(digests(items))[:SKETCH])


def digests(items: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The digest of each item (id, title): XXH3 in hexadecimal."""
    return frozenset(xxhash.xxh3_64_hexdigest(f"{len(item)}:{item}:{title}".encode()) for item, title in items)


def seen_until(learned: Sequence[Learned], found: frozenset[str]) -> int | None:
    """The time before which events on a catalogue of these `digests` may have been learned; None if none were."""
    return max((one.until for one in learned if _same(one.items, found)), default=None)


def extended(learned: Sequence[Learned], new: Learned) -> tuple[Learned, ...]:
    """`learned` with one source more. A source with the same items is merged with it."""
    same = [one for one in learned if _same(one.items, frozenset(new.items))]
    others = [one for one in learned if one not in same]
    for one in same:
        new = _merged(one, new)
    while len(others) >= MOST_SOURCES:
        others[:2] = [_merged(others[0], others[1])]
    return (*others, new)


def _same(one: Sequence[str], found: frozenset[str]) -> bool:
    return len(found.intersection(one)) >= min(SHARED, max(1, len(one)))


def _merged(one: Learned, new: Learned) -> Learned:
    names = dict.fromkeys([*one.data.split("; "), *new.data.split("; ")])
    items = tuple(sorted({*one.items, *new.items})[:SKETCH])
    return Learned(data="; ".join(names)[:200], until=max(one.until, new.until), items=items)
