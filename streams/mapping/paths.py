"""Where a mapping finds a field in a record. Pure.

payload.user_id      a field of the value, inside others
items[0].sku         the first element of a list; [-1] is the last
genres[*].name       of every element, for attributes alone
"user.id"            a name with a dot, in quotes
@key, @key.id        the record's key, and a field of it
@headers.tenant      a header, as text
@envelope.ts_ms      a field of the envelope around the value
@topic, @partition, @offset, @timestamp
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

MAX_LENGTH, MAX_STEPS = 120, 16

ROOTS = ("key", "headers", "envelope", "topic", "partition", "offset", "timestamp")
"""The parts of a record beside its value."""

_FIXED = ("topic", "partition", "offset", "timestamp")
"""Parts that have no fields."""

_STEP = re.compile(r'\.?"([^"]+)"|\.?([^.\[\]"@\s][^.\[\]"]*)|\[(-?\d{1,6})\]|\[(\*)\]')

EVERY = None
"""The step into every element of a list."""


class Origin(Protocol):
    """A consumed record: what a mapping reads."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Any: ...


class Parsed:
    """A record with its value and envelope as plain data. `key` decodes the key when a path asks for it first."""

    __slots__ = ("_decode_key", "_key", "envelope", "record", "value")

    def __init__(self, record: Origin, value: Any, envelope: Any, decode_key: Callable[[bytes | None], Any]) -> None:
        self.record = record
        self.value = value
        self.envelope = envelope
        self._decode_key = decode_key
        self._key: Any = self

    @property
    def key(self) -> Any:
        if self._key is self:
            self._key = self._decode_key(self.record.key)
        return self._key

    @property
    def headers(self) -> dict[str, str | None]:
        found = {}
        for name, value in self.record.headers or ():
            found[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else None
        return found


Get = Callable[[Parsed], Any]
"""The data at a path of a record; None where there is none, or null."""


class Path(NamedTuple):
    """A parsed path: the part of the record that it begins in ("value" or one of `ROOTS`), and the steps from there."""

    text: str
    root: str
    steps: tuple[str | int | None, ...]

    @property
    def plural(self) -> bool:
        return EVERY in self.steps


def parse(text: str) -> Path:
    """The path that `text` writes. Raises `ValueError`, with a message for the author."""
    root, rest = "value", text.strip()
    if len(rest) > MAX_LENGTH:
        raise ValueError(f"a path has at most {MAX_LENGTH} characters")
    if rest.startswith("@"):
        named = re.match(r"@(\w*)", rest)
        root = named[1] if named else ""
        if root not in ROOTS:
            raise ValueError(f"there is no @{root}: there are {', '.join('@' + each for each in ROOTS)}")
        rest = rest[1 + len(root) :]
        if rest and not rest.startswith((".", "[")):
            raise ValueError("a path goes on with a dot or a bracket")
    elif rest.startswith("."):
        raise ValueError("a path begins with a name")
    steps: list[str | int | None] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or (at and rest[at] not in ".["):
            raise ValueError(f"it cannot be read at character {len(text.strip()) - len(rest) + at + 1}")
        quoted, name, index, every = found.groups()
        steps.append(EVERY if every else int(index) if index else quoted or name)
        at = found.end()
    if root == "value" and not steps:
        raise ValueError("a path is empty")
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a path has at most {MAX_STEPS} steps")
    if root in _FIXED and steps:
        raise ValueError(f"@{root} has no fields")
    if root == "headers" and (len(steps) != 1 or not isinstance(steps[0], str)):
        raise ValueError("a header is named like @headers.tenant")
    if root == "envelope" and not steps:
        raise ValueError("a field of the envelope is named like @envelope.ts_ms")
    return Path(text.strip(), root, tuple(steps))


def getter(path: Path) -> Get:
    """The function that finds what is at `path`. With [*] it returns a list."""
    root, steps = path.root, path.steps
    if root in _FIXED:
        return lambda parsed: getattr(parsed.record, root)
    if root == "value":
        if len(steps) == 1 and isinstance(steps[0], str):
            name = steps[0]

            def field(parsed: Parsed) -> Any:
                value = parsed.value
                return value.get(name) if type(value) is dict else None

            return field
        return lambda parsed: _walked(parsed.value, steps)
    return lambda parsed: _walked(getattr(parsed, root), steps)


def first_of(getters: tuple[Get, ...]) -> Get:
    """The data at the first of several paths that has any."""
    if len(getters) == 1:
        return getters[0]

    def get(parsed: Parsed) -> Any:
        for each in getters:
            found = each(parsed)
            if found is not None:
                return found
        return None

    return get


def _walked(found: Any, steps: tuple[str | int | None, ...]) -> Any:
    for number, step in enumerate(steps):
        if type(found) is dict:
            if type(step) is not str:
                return None
            found = found.get(step)
        elif type(found) is list:
            if type(step) is str:
                return None
            if step is EVERY:
                rest = steps[number + 1 :]
                return [each for one in found for each in _flat(_walked(one, rest))]
            if not -len(found) <= step < len(found):  # type: ignore[operator]  # an index
                return None
            found = found[step]  # type: ignore[index]
        else:
            return None
    return found


def _flat(found: Any) -> list[Any]:
    return found if type(found) is list else [] if found is None else [found]
