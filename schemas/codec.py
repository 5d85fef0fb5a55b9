"""Encode and decode messages: the only code that knows the wire format.

A value is a MessagePack map with field names as keys, enumerations as strings, absent fields left out, and the version
under `v`. Input may also be a JSON object. The two cannot be confused: a MessagePack map starts with a byte of 0x80 or
more, a JSON object with white space or `{`, which in MessagePack would be a small integer.

If a map repeats a key, the last value counts, and the checks see that value. `schemas.reader` handles versions.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec

from schemas.actions import ACTIONS
from schemas.blends import BlendPart
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused
from schemas.events import Event, EventKind
from schemas.explaining import misnamed
from schemas.feedback import Feedback
from schemas.items import Item
from schemas.limits import (
    MAX_CLOCK_SKEW_MS,
    MAX_DEAD_LETTER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_RECORD_BYTES,
    OLDEST_EVENT_MS,
)
from schemas.models import Comparison, ModelAck, ModelStatus
from schemas.neighbours import Covisits, Neighbours
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.reader import UNREADABLE, M, Reader, plain_of
from schemas.recommendations import Recommendation
from schemas.times import unit_of

HOUR_MS = 3_600_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ERASE = EventKind.ERASE
_ITEM_ALONE = frozenset(kind for kind, action in ACTIONS.items() if action.needs == ("item",))
_NEEDED = {
    "item": "an item",
    "value": "a value from 0 to 5",
    "text": "a sentence",
    "target": "the id of the event to forget",
}
"""What an event lacks, in words, by field."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = msgspec.msgpack.Encoder()


_READERS: dict[type[msgspec.Struct], Reader[Any]] = {
    reader.current: reader
    for reader in (
        Reader(Event, max_bytes=MAX_MESSAGE_BYTES),
        Reader(Item, max_bytes=MAX_MESSAGE_BYTES),
        Reader(ErasureOrder, max_bytes=MAX_MESSAGE_BYTES),
        Reader(Recommendation, max_bytes=MAX_RECORD_BYTES),
        Reader(Feedback, max_bytes=MAX_RECORD_BYTES),
        Reader(DeadLetter, max_bytes=MAX_DEAD_LETTER_BYTES),
        Reader(Covisits, max_bytes=MAX_RECORD_BYTES),
        Reader(Neighbours, max_bytes=MAX_RECORD_BYTES),
        Reader(BlendPart, max_bytes=MAX_RECORD_BYTES),
        Reader(ModelStatus, max_bytes=MAX_RECORD_BYTES),
        Reader(ModelAck, max_bytes=MAX_RECORD_BYTES),
        Reader(Comparison, max_bytes=MAX_RECORD_BYTES),
        Reader(ErasureReceipt, max_bytes=MAX_RECORD_BYTES),
    )
}
_EVENT: Callable[[bytes], Event] = msgspec.msgpack.Decoder(Event).decode
_READ_EVENT: Callable[[bytes | None], Event] = _READERS[Event].read
_READ_ITEM: Callable[[bytes | None], Item] = _READERS[Item].read
_READ_ORDER: Callable[[bytes | None], ErasureOrder] = _READERS[ErasureOrder].read


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message as a MessagePack map with its version under `v`. Bounds are checked on decoding."""
    return _ENCODER.encode(message)


def decode(message_type: type[M], value: bytes | None) -> M:
    """Decode a message of `message_type`, one of the contract's types. Raises `Refused`.

    Checks format, version and bounds, but neither key nor clock. For events, items and erasure orders, which producers
    outside Ouzel write, use `decode_event`, `decode_item` and `decode_order`.
    """
    message: M = _READERS[message_type].read(value)
    return message


def decode_event(
    value: bytes | None, *, key: bytes | None, now_ms: int, accepted_from_ms: int = OLDEST_EVENT_MS
) -> Event:
    """Decode the value of a record of `ouzel.events`. `now_ms` is the worker's clock. Raises `Refused`.

    Besides format and bounds, checks that the key is the user (a record without a key could land on any partition, out
    of the user's order); that the event is at most `MAX_CLOCK_SKEW_MS` in the future and not before `accepted_from_ms`;
    that the fields its kind requires are present; and that the strings its kind uses hold no control characters. Fields
    that its kind does not use are ignored.
    """
    try:
        # Fast path for nearly every record. The slow path explains the refusal.
        event = _EVENT(value) if value and len(value) <= MAX_MESSAGE_BYTES else _READ_EVENT(value)
    except UNREADABLE:
        event = _READ_EVENT(value)
    user = event.user
    item = event.item
    kind = event.kind
    if item is None or kind not in _ITEM_ALONE:
        _check_kind(event, value)
    if not accepted_from_ms <= event.ts <= now_ms + MAX_CLOCK_SKEW_MS:
        _refuse_time(event, now_ms, accepted_from_ms)
    if key != user.encode():
        _refuse_key(key, "user", user)
    if not (event.id.isprintable() and user.isprintable() and event.scene.isprintable()):
        _check_control(event.id, user, event.scene)
    if item is not None and not item.isprintable():
        _check_control(item)
    if event.list is not None and not event.list.isprintable():
        _check_control(event.list)
    return event


def decode_item(value: bytes | None, *, key: bytes | None) -> Item:
    """Decode the value of a record of `ouzel.items`. Raises `Refused`.

    The key must be the item's id. A null value withdraws the item: the caller handles that, here it is refused as
    empty. Strings must not hold control characters, except tabs and line breaks in `text`.
    """
    item = _READ_ITEM(value)
    if key != item.id.encode():
        _refuse_key(key, "id", item.id)
    _check_control(item.id, item.title, *item.attributes)
    if _CONTROL_BUT_LINES.search(item.text):
        raise Refused(Refusal.INVALID, "a control character other than a tab or line break - at `$.text`")
    # A whole hour in the first months of 1970 is plausible; any other time there is more likely sent in seconds.
    if item.published and item.published % HOUR_MS and unit_of(item.published) == "seconds":
        raise Refused(Refusal.INVALID, "looks like seconds; send milliseconds - at `$.published`")
    return item


def decode_order(value: bytes | None, *, key: bytes | None) -> ErasureOrder:
    """Decode the value of a record of `ouzel.privacy`. The key must be the user. Raises `Refused`."""
    order = _READ_ORDER(value)
    if key != order.user.encode():
        _refuse_key(key, "user", order.user)
    _check_control(order.id, order.user)
    return order


def _refuse_time(event: Event, now_ms: int, accepted_from_ms: int) -> None:
    """Refuse an event for its time. Erasures are exempt: a wrong clock must not prevent one."""
    if event.kind is _ERASE:
        return
    unit = unit_of(event.ts)
    if event.ts > now_ms:
        ahead = f"looks like {unit}" if unit else f"{event.ts - now_ms} ms in the future, at most {MAX_CLOCK_SKEW_MS}"
        remedy = "send milliseconds" if unit else "set the producer's clock, and send milliseconds since 1970"
        raise Refused(Refusal.FUTURE, f"{ahead}; {remedy} - at `$.ts`")
    if unit:
        raise Refused(Refusal.INVALID, f"looks like {unit}; send milliseconds - at `$.ts`")
    oldest = (_EPOCH + timedelta(milliseconds=accepted_from_ms)).date()
    raise Refused(
        Refusal.INVALID,
        f"before {oldest}, the oldest date accepted (OUZEL_OLDEST_EVENT); send milliseconds since 1970 - at `$.ts`",
    )


def _check_kind(event: Event, value: bytes | None) -> None:
    """Refuse an event without a field that its kind requires. `value` is the undecoded event."""
    for field in ACTIONS[event.kind].needs:
        found = getattr(event, field)
        if found is None:
            needed = f"a {event.kind.value} event needs {_NEEDED[field]}"
            raise Refused(Refusal.INVALID, _missing(value, field, needed))
        if isinstance(found, str):
            _check_control(found)


def _missing(value: bytes | None, field: str, needed: str) -> str:
    return f"{needed}{misnamed(field, plain_of(value), Event)} - at `$.{field}`"


def _refuse_key(key: bytes | None, field: str, wanted: str) -> NoReturn:
    if not key:
        raise Refused(
            Refusal.KEY_MISMATCH,
            f"the record has no key: send the `{field}` as its key (kcat: -K '|', lines KEY|VALUE)",
        )
    raise Refused(
        Refusal.KEY_MISMATCH,
        f"the record's key is not the `{field}` of its value{_of_key(key, wanted)}: send the `{field}` as the key",
    )


def _of_key(key: bytes, wanted: str) -> str:
    """How a key differs from `wanted`, where that can be said without quoting the key; else empty."""
    if key[:1] == b'"':
        return ", but text in quotes (a JSON serializer; use one for strings)"
    if key[:1] == b"{":
        return ", but a JSON object (a struct; use the field itself)"
    if key[0] == 0:
        number = len(key) in (4, 8) and key[1] == 0
        found = "a binary number" if number else "with a schema registry prefix"
        return f", but {found} (use a string serializer)"
    text = key.decode("utf-8", "replace")
    if text.strip() == wanted.strip():
        return ", but differs in white space"
    if text.casefold() == wanted.casefold():
        return ", but differs in capitals"
    return "" if "\ufffd" not in text else ", and is not UTF-8"


def _check_control(*strings: str) -> None:
    """Refuse control characters only: `isprintable` also rejects rare spaces and letters newer than this Python."""
    if any(_CONTROL.search(string) for string in strings):
        raise Refused(Refusal.INVALID, "a control character in an identifier, name or sentence")
