"""Dead letters: what every reader of a topic makes of a record that it cannot use. Pure."""

from typing import Protocol

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused


class Record(Protocol):
    """What is read of a consumed record of a partition that is known."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Placed(Record, Protocol):
    """One that says of which partition it is."""

    @property
    def partition(self) -> int: ...


def dead_letter(topic: str, partition: int, record: Record, now_ms: int, error: Exception) -> DeadLetter:
    """The dead letter for a record on which `error` was raised; code `failed` unless that is a refusal."""
    if isinstance(error, Refused):
        code, detail = error.code, error.detail
    else:
        code, detail = Refusal.FAILED, type(error).__name__
    return DeadLetter(
        code=code,
        detail=detail,
        topic=topic,
        partition=partition,
        offset=record.offset,
        ts=now_ms,
        key=record.key,
        value=record.value,
    )
