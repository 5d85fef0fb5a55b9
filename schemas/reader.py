"""Reading values of several versions: bytes to a message, or a refusal that says why.

A reader of version n reads n and n-1, and ignores fields that it does not know. A value without `v` is version 1.
"""

from collections.abc import Callable
from typing import Annotated, Any, Generic, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from schemas.errors import Refusal, Refused
from schemas.limits import MAX_DETAIL_LENGTH

M = TypeVar("M", bound=msgspec.Struct)

_JSON_STARTS = b"{ \t\r\n"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Versioned(msgspec.Struct):
    """What every version of every message has in common."""

    v: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None


_READ_VERSION = msgspec.msgpack.Decoder(_Versioned).decode, msgspec.json.Decoder(_Versioned).decode


class Reader(Generic[M]):
    """Decodes the values of one message type, of the current version and of the one before.

    The version of a message type is its struct tag. When it is raised, the old struct stays under a name of its own
    and is handed in as `previous`, with `upgrade`, a pure function from the old struct to the new; the version of each
    value then chooses between them within the one decoding pass. `upgrade` must keep to the bounds of the new struct.
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
        """The message in `value`, or `Refused`."""
        if not value:
            raise Refused(Refusal.EMPTY, "no value: send a MessagePack map or a JSON object")
        if len(value) > self.max_bytes:
            raise Refused(Refusal.TOO_LARGE, f"{len(value)} bytes, of which at most {self.max_bytes} are read")
        try:
            message: Any = self._msgpack(value) if value[0] >= 0x80 else self._json(value)
        except UNREADABLE as error:
            message = self._second_try(value, error)
        if self._upgrade is not None and type(message) is not self.current:
            message = self._upgrade(message)
        return message  # type: ignore[no-any-return]

    def _second_try(self, value: bytes, error: Exception) -> Any:
        """The message if it is of the previous version and does not say so; else `Refused`, with the cause."""
        binary = value[0] >= 0x80
        try:
            version = _READ_VERSION[0 if binary else 1](value).v
        except UNREADABLE:
            _refuse(value, error)
        version = 1 if version is None else version
        if version > self.version:
            raise Refused(
                Refusal.NEWER_VERSION,
                f"version {version} is newer than {self.version}, the newest read here: upgrade the readers first",
            ) from None
        if version < self.oldest:
            raise Refused(
                Refusal.INVALID,
                f"version {version} is older than {self.oldest}, the oldest read here: upgrade what writes it",
            ) from None
        if self._previous is None or version == self.version:
            _refuse(value, error)
        decode = msgspec.msgpack.decode if binary else msgspec.json.decode
        try:
            return decode(value, type=self._previous)
        except UNREADABLE as second:
            _refuse(value, second)


def _refuse(value: bytes, error: Exception) -> NoReturn:
    """Raise the refusal that `error` stands for. The detail holds field names, never what stands in the fields."""
    if (value[0] < 0x80 and value[0] not in _JSON_STARTS) or 0x90 <= value[0] < 0xDE or value[0] > 0xDF:
        raise Refused(Refusal.MALFORMED, "neither a MessagePack map nor a JSON object") from None
    if isinstance(error, RecursionError):
        raise Refused(Refusal.MALFORMED, "nested too deeply") from None
    if isinstance(error, UnicodeDecodeError):
        raise Refused(Refusal.MALFORMED, "a string is not UTF-8") from None
    code = Refusal.INVALID if isinstance(error, msgspec.ValidationError) else Refusal.MALFORMED
    detail = str(error)
    if detail.startswith("Invalid enum value"):
        detail = "Not one of the values known here" + detail[detail.rfind(" - at ") :]
    raise Refused(code, detail[:MAX_DETAIL_LENGTH]) from None


def _version_of(message_type: type[msgspec.Struct]) -> int:
    config = message_type.__struct_config__
    if config.tag_field != "v" or not isinstance(config.tag, int):
        raise TypeError(f'{message_type.__name__} has no version: declare it with tag_field="v" and tag=1')
    return config.tag
