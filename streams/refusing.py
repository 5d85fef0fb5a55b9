"""Dead letters: what every reader of a topic makes of a record that it cannot use. Pure."""

from typing import Protocol

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused


class Record(Protocol):
    """What is read of a consumed record."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def dead_letter(topic: str, record: Record, now_ms: int, error: Exception) -> DeadLetter:
    """The dead letter for `record` of `topic`, on which `error` was raised; code `failed` unless it is a refusal."""
    if isinstance(error, Refused):
        code, detail = error.code, error.detail
    else:
        code, detail = Refusal.FAILED, type(error).__name__
    return DeadLetter(
        code=code,
        detail=detail,
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        ts=now_ms,
        key=record.key,
        value=record.value,
    )
