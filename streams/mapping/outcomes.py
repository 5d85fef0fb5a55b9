"""What becomes of a record. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from streams.mapping.paths import Origin

SKIPS = ("rule", "kind", "tombstone", "operation")
"""Why a record is skipped: a rule of the file; a kind that it skips; a null value; an operation of Debezium."""


class Mapped(NamedTuple):
    """A record for one of our topics. A null value withdraws the item."""

    topic: str
    key: bytes
    value: bytes | None


class Skipped(NamedTuple):
    """The mapping leaves the record out. `reason` is one of `SKIPS`."""

    reason: str


Outcome = Mapped | Skipped
MapRecord = Callable[[Origin, int], Outcome]
"""From a record and the present time (milliseconds since 1970) to its outcome. Raises `Refused` and `SchemaMissing`."""
