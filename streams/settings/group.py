"""A group of settings: a struct that checks every value, and the metadata of its fields.

To add a setting, add a field to a group, with its type, bounds, text and default. The text goes to
docs/reference/settings.md and to `ouzel worker --help`, which shows its first sentence alone.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from schemas.shown import shown
from streams.errors import BadSetting
from streams.secret import Secret

PREFIX = "OUZEL_"
KINDS = {str: "text", Path: "a folder", Secret: "a secret", int: "a whole number", float: "a number"}
MAX_SHOWN = 60
"""Characters of a refused value that an error shows."""


class Setting(NamedTuple):
    """The metadata of one field of a group. `name` is its variable's, in lower case without the prefix."""

    name: str
    field: str
    kind: type
    default: Any
    doc: str
    low: float | None
    high: float | None
    one_of: tuple[str, ...]

    @property
    def variable(self) -> str:
        return variable(self.name)

    @property
    def takes(self) -> str:
        """The accepted values, in words."""
        if self.one_of:
            return ", ".join(self.one_of)
        if self.low is not None and self.high is not None:
            return f"{KINDS[self.kind]}, {self.low:,} to {self.high:,}"
        return f"{KINDS[self.kind]}, {self.low:,} or more" if self.low is not None else KINDS[self.kind]

    def parse(self, text: str) -> Any:
        """The value of a variable's text; its bounds are not checked yet. Raises `BadSetting`."""
        try:
            return self.kind(text.strip() if self.kind in (int, float) else text)
        except ValueError:
            raise BadSetting(f"{self._given(text)} is refused: it takes {self.takes}. {REMEDY}") from None

    def refusal(self, value: Any) -> BadSetting:
        """The error for a value of the wrong type or out of bounds."""
        return BadSetting(f"{self._given(value)} is out of bounds: it takes {self.takes}. {REMEDY}")

    def _given(self, value: Any) -> str:
        return f"{self.variable}={shown(str(value))[:MAX_SHOWN]}"


REMEDY = "Correct it or leave it out."


class Group(Struct, frozen=True, kw_only=True):
    """Settings that belong together. Validated on construction: a value out of bounds raises `BadSetting`.

    A field's type carries its bounds and its text. The variable of a field is `OUZEL_` and its encoded name in
    capitals; `rename` of the struct gives all fields of a group a prefix.
    """

    def __post_init__(self) -> None:
        for each, (declared, _) in zip(settings_of(type(self)), _types(type(self)), strict=True):
            value = getattr(self, each.field)
            try:
                msgspec.convert(value, declared, dec_hook=_as_given)
            except (msgspec.ValidationError, UnicodeEncodeError):  # the latter: bytes that are not UTF-8
                raise each.refusal(value) from None
            if isinstance(value, float) and not math.isfinite(value):
                raise each.refusal(value)
        self.check()

    def check(self) -> None:
        """Check combinations of fields. Raises `BadSetting`."""


def check_pair(name: str, cert: str, key: str) -> None:
    """Refuse a certificate without its key, or the reverse. Raises `BadSetting`."""
    if bool(cert) != bool(key):
        raise BadSetting(f"{variable(f'{name}_cert')} and {variable(f'{name}_key')} go together: set both.")


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def settings_of(group: type[Group]) -> Iterator[Setting]:
    """The settings of a group, in order of declaration."""
    for each, (declared, meta) in zip(msgspec.structs.fields(group), _types(group), strict=True):
        options = get_args(declared) if get_origin(declared) is Literal else ()
        kind = str if options else declared if isinstance(declared, type) else get_args(declared)[0]
        yield Setting(
            name=each.encode_name,
            field=each.name,
            kind=kind,
            default=each.default,
            doc=meta.description or "",
            low=meta.ge,
            high=meta.le,
            one_of=options,
        )


def _types(group: type[Group]) -> Iterator[tuple[Any, Meta]]:
    """The type of each field, with its bounds and other metadata."""
    for each in msgspec.structs.fields(group):
        assert get_origin(each.type) is Annotated, f"{group.__name__}.{each.name} has no text"
        base, meta = get_args(each.type)
        bounded = meta.ge is not None or meta.le is not None
        yield (each.type if bounded else base), meta


def _as_given(kind: type, value: Any) -> Any:
    """Paths and secrets already have their type."""
    if not isinstance(value, kind):
        raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")
    return value
