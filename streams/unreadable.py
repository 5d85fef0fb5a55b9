"""What stands in for records that cannot be read. Pure."""

from dataclasses import dataclass
from typing import Any

from schemas.errors import Refusal


@dataclass(frozen=True)
class Unreadable:
    """The records of `topic` at offsets `first` to `offset` (inclusive), which cannot be read.

    It takes their place among the records of a consumer, with all that aiokafka's `ConsumerRecord` has: the reader
    goes on behind `offset`. `code` is that of the dead letter, and `why` names what was found.
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
        """Itself: whoever copies a record field by field, as Faust does, carries it along (`original`)."""
        return ((NAME, self),)

    @property
    def detail(self) -> str:
        """One line for the operator."""
        if self.first == self.offset:
            return f"the record cannot be read: {self.why}"
        return f"the records at offsets {self.first} to {self.offset} cannot be read: {self.why}"


NAME = "unreadable"
"""The only name among its headers. A producer's header of that name has bytes, so it is told apart."""


def original(record: Any) -> Any:
    """The `Unreadable` that a copied record was made of; any other record as it is."""
    headers = record.headers
    if not headers or len(headers) != 1:
        return record
    ((_, value),) = headers.items() if isinstance(headers, dict) else headers
    return value if isinstance(value, Unreadable) else record
