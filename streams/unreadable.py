"""A placeholder for records that cannot be read. Pure."""

from dataclasses import dataclass
from typing import Any

from schemas.errors import Refusal


@dataclass(frozen=True)
class Unreadable:
    """The records of `topic` at offsets `first` to `offset` (inclusive), which cannot be read.

    It replaces them among the records of a consumer, with all fields of aiokafka's `ConsumerRecord`: the reader goes on
    after `offset`. `code` is that of the dead letter, and `why` says what was found.
    """

    topic: str
    partition: int
    first: int
    offset: int
    why: str
    code: Refusal = Refusal.UNREADABLE
    key: None = None
    value: None = None
    timestamp: int = 0
    timestamp_type: int = 0
    checksum: None = None
    serialized_key_size: int = -1
    serialized_value_size: int = -1

    @property
    def headers(self) -> tuple[tuple[str, object], ...]:
        """Itself, so that a field-by-field copy, as Faust makes, still holds it (`original`)."""
        return ((NAME, self),)

    @property
    def detail(self) -> str:
        """One line for the operator."""
        if self.first == self.offset:
            return f"the record cannot be read: {self.why}"
        return f"the records at offsets {self.first} to {self.offset} cannot be read: {self.why}"


NAME = "unreadable"
"""The name of its only header. A producer's header of that name holds bytes, so the two differ."""


def original(record: Any) -> Any:
    """The `Unreadable` in a copied record; any other record unchanged."""
    headers = record.headers
    if not headers or len(headers) != 1:
        return record
    ((_, value),) = headers.items() if isinstance(headers, dict) else headers
    return value if isinstance(value, Unreadable) else record
