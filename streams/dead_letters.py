"""Dead letters for records that cannot be used. Pure."""

from typing import Protocol

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused
from schemas.limits import MAX_DETAIL_LENGTH, MAX_ORIGINAL_BYTES
from streams.unreadable import Unreadable


class Record(Protocol):
    """The parts of a consumed record that are needed here, without its partition."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Placed(Record, Protocol):
    """A record with its partition."""

    @property
    def partition(self) -> int: ...


def dead_letter(topic: str, partition: int, record: Record, now_ms: int, error: Exception) -> DeadLetter:
    """The dead letter for a record on which `error` was raised; code `failed` unless that is a refusal.

    A key or value beyond `MAX_ORIGINAL_BYTES` is left out, and the detail states its size. For records that could not
    be read at all, the detail says which and why.
    """
    if isinstance(record, Unreadable):
        return DeadLetter(
            code=record.code,
            detail=cut(record.detail),
            topic=topic,
            partition=partition,
            offset=record.first,
            ts=now_ms,
        )
    if isinstance(error, Refused):
        code, detail = error.code, error.detail
    else:
        code, detail = Refusal.FAILED, type(error).__name__
    kept: dict[str, bytes | None] = {"key": record.key, "value": record.value}
    for name, original in kept.items():
        if original is not None and len(original) > MAX_ORIGINAL_BYTES:
            code, kept[name] = Refusal.TOO_LARGE, None
            detail = cut(detail, f" ({name} of {len(original)} bytes, left out)")
    return DeadLetter(
        code=code, detail=detail, topic=topic, partition=partition, offset=record.offset, ts=now_ms, **kept
    )


def cut(detail: str, more: str = "") -> str:
    """The detail of a dead letter with `more` appended, cut to `MAX_DETAIL_LENGTH`."""
    return detail[: MAX_DETAIL_LENGTH - len(more)] + more
