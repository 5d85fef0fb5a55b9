"""What a file of the training log still says of erased rows: which order removed which offsets. Pure.

An offset names no one, and of the order there is a digest alone. With the id of an order, from its receipt, one can
still tell which versions learned from the rows (`ouzel lineage --order`); without it, nothing about users. The note is
in the schema's metadata, so that it is written and deleted with its file: 8 bytes or so for each erased row.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
import pyarrow as pa

ERASED = b"ouzel.erased"
"""The key of the note in the schema's metadata."""

Note = dict[str, set[int]]
"""Offsets by `mark_of` of the order that erased them."""


def mark_of(order: str) -> str:
    """The digest of an order's id, which may be of any kind: 32 letters and digits."""
    return blake2b(order.encode(), digest_size=16, person=b"order").hexdigest()


def note_of(metadata: Mapping[bytes, bytes] | None) -> Note:
    """The note in a schema's metadata; a damaged one is empty."""
    try:
        return msgspec.json.decode((metadata or {}).get(ERASED, b"{}"), type=Note)
    except msgspec.DecodeError:
        return {}


def joined_notes(tables: Iterable[pa.Table]) -> Note:
    found: Note = {}
    for table in tables:
        for mark, offsets in note_of(table.schema.metadata).items():
            found.setdefault(mark, set()).update(offsets)
    return found


def noted(table: pa.Table, more: Note) -> pa.Table:
    """The table with these offsets in its note too; the same object if there are none."""
    if not more:
        return table
    note = note_of(table.schema.metadata)
    for mark, offsets in more.items():
        note.setdefault(mark, set()).update(offsets)
    ordered = {mark: sorted(note[mark]) for mark in sorted(note)}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), ERASED: msgspec.json.encode(ordered)})
