"""Decode values of several versions into a message, or refuse them with the reason.

A reader of version n reads n and n-1, and ignores unknown fields. A value without `v` is version 1. Null fields count
as absent, in every map. Values with nulls are decoded twice; values without nulls cost nothing extra.
"""

from collections.abc import Callable
from typing import Annotated, Any, Generic, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from schemas.errors import Refusal, Refused
from schemas.explaining import explained
from schemas.findings import of_bytes, of_json, of_mark
from schemas.limits import MAX_DETAIL_LENGTH

M = TypeVar("M", bound=msgspec.Struct)

_JSON_SPACE = b" \t\r\n"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Versioned(msgspec.Struct):
    """The field that every version of every message shares."""

    v: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None


_READ_VERSION = msgspec.msgpack.Decoder(_Versioned).decode, msgspec.json.Decoder(_Versioned).decode


class Reader(Generic[M]):
    """Decodes values of one message type, in the current version and the previous one.

    The version of a message type is its struct tag. To raise it, keep the old struct under another name and pass it as
    `previous`, with `upgrade`, a pure function from the old struct to the new. The version of each value selects the
    struct in the same decoding pass. `upgrade` must respect the bounds of the new struct.
    """

    def __init__(
        self,
        current: type[M],
        *,
        max_bytes: int,
        previous: type[msgspec.Struct] | None = None,
        upgrade: Callable[[Any], M] | None = None,
    ) -> None:
        if (previous is None) is not (upgrade is None):
            raise TypeError("a previous version needs its upgrade, and an upgrade its previous version")
        self.current = current
        self.max_bytes = max_bytes
        self.version = _version_of(current)
        self.oldest = self.version if previous is None else _version_of(previous)
        if previous is not None and self.oldest != self.version - 1:
            raise TypeError(f"version {self.version} follows {self.version - 1}, not {self.oldest}")
        self._previous = previous
        self._upgrade = upgrade
        either: Any = current if previous is None else current | previous
        self._msgpack = msgspec.msgpack.Decoder(either).decode
        self._json = msgspec.json.Decoder(either).decode

    def read(self, value: bytes | None) -> M:
        """Decode the message in `value`. Raises `Refused`."""
        if not value:
            found = "null" if value is None else "empty"
            raise Refused(Refusal.EMPTY, f"no value ({found}): send a MessagePack map or a JSON object")
        if len(value) > self.max_bytes:
            raise Refused(Refusal.TOO_LARGE, f"{len(value)} bytes; at most {self.max_bytes} are accepted")
        try:
            message: Any = self._msgpack(value) if value[0] >= 0x80 else self._json(value)
        except UNREADABLE as error:
            message = self._second_try(value, error)
        if self._upgrade is not None and type(message) is not self.current:
            message = self._upgrade(message)
        return message  # type: ignore[no-any-return]

    def _second_try(self, value: bytes, error: Exception) -> Any:
        """Decode a value that holds nulls, or is of the previous version without saying so; else raise `Refused`."""
        binary = value[0] >= 0x80
        plain = plain_of(value)
        bare = without_nulls(plain) if isinstance(plain, dict) else plain
        if bare is not plain:
            try:
                value = (msgspec.msgpack.encode if binary else msgspec.json.encode)(bare)
                return (self._msgpack if binary else self._json)(value)
            except UNREADABLE as second:
                error = second
            except (OverflowError, TypeError):
                pass  # not encodable; refused below with the first error
        try:
            version = _READ_VERSION[0 if binary else 1](value).v
        except UNREADABLE:
            self._refuse(value, error, plain)
        version = 1 if version is None else version
        if version > self.version:
            raise Refused(
                Refusal.NEWER_VERSION,
                f"version {version} is newer than {self.version}, the newest supported: upgrade the readers first",
            ) from None
        if version < self.oldest:
            raise Refused(
                Refusal.INVALID,
                f"version {version} is older than {self.oldest}, the oldest supported: upgrade the producer",
            ) from None
        if self._previous is None or version == self.version:
            self._refuse(value, error, plain)
        decode = msgspec.msgpack.decode if binary else msgspec.json.decode
        try:
            return decode(value, type=self._previous)
        except UNREADABLE as second:
            self._refuse(value, second, plain)

    def _refuse(self, value: bytes, error: Exception, plain: Any) -> NoReturn:
        """Raise the refusal for `error`. `plain` is the value as plain data, or None.

        The detail holds field names, never field values.
        """
        no_object = value[0] < 0x80 and value.lstrip(_JSON_SPACE)[:1] != b"{"
        if no_object or 0x90 <= value[0] < 0xDE or value[0] > 0xDF or of_mark(value) is not None:
            self._no_map(of_bytes(value))
        if isinstance(error, RecursionError):
            raise Refused(Refusal.MALFORMED, "nested too deeply") from None
        if isinstance(error, UnicodeDecodeError):
            raise Refused(Refusal.MALFORMED, "a string is not UTF-8: write text as UTF-8") from None
        if isinstance(error, msgspec.ValidationError):
            raise Refused(Refusal.INVALID, explained(str(error), plain, self.current)[:MAX_DETAIL_LENGTH]) from None
        found = of_json(value, str(error)) if value[0] < 0x80 else of_bytes(value)
        detail = str(error) if found is None else f"{str(error).partition(':')[0]}: {found}"
        raise Refused(Refusal.MALFORMED, detail[:MAX_DETAIL_LENGTH]) from None

    def _no_map(self, found: str | None) -> NoReturn:
        detail = "neither a MessagePack map nor a JSON object"
        raise Refused(
            Refusal.MALFORMED, (detail if found is None else f"{detail}: found {found}")[:MAX_DETAIL_LENGTH]
        ) from None


def plain_of(value: bytes | None) -> Any:
    """The value as plain data, or None if it cannot be decoded. Only for explaining a refusal."""
    try:
        return msgspec.msgpack.decode(value or b"") if value and value[0] >= 0x80 else msgspec.json.decode(value or b"")
    except (*UNREADABLE, ValueError, TypeError):
        return None


def without_nulls(data: Any) -> Any:
    """The data without null fields, also in nested maps and lists; the same object if there are none.

    The decoder bounds the nesting depth, so the recursion is bounded too.
    """
    if isinstance(data, dict):
        inner = {name: without_nulls(held) for name, held in data.items() if held is not None}
        same = len(inner) == len(data) and all(inner[name] is held for name, held in data.items())
        return data if same else inner
    if isinstance(data, list):
        items = [without_nulls(held) for held in data]
        return data if all(one is held for one, held in zip(items, data, strict=True)) else items
    return data


def _version_of(message_type: type[msgspec.Struct]) -> int:
    config = message_type.__struct_config__
    if config.tag_field != "v" or not isinstance(config.tag, int):
        raise TypeError(f'{message_type.__name__} has no version: declare it with tag_field="v" and tag=1')
    return config.tag
