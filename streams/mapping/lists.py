"""The way back: recommendation lists as JSON for services that read no MessagePack. Pure.

A [[lists]] table names a topic and the fields of its values:

    [[lists]]
    topic = "shop.lists"
    [lists.fields]
    userId = "user"
    madeAt = { path = "ts", unit = "iso" }
    films = { each = "entries", fields = { sku = "item", why = "reason.text" } }
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, get_args, get_origin

import msgspec

from schemas.codec import decode
from schemas.errors import Refusal, Refused
from schemas.recommendations import Recommendation
from streams.errors import BadMapping
from streams.mapping.conversions import ISO, UNITS
from streams.mapping.fields import any_holds, paths_of, rules
from streams.mapping.outcomes import Mapped, MapRecord, Outcome, Skipped
from streams.mapping.paths import Origin, Parsed, Path, getter
from streams.mapping.sources import check_topic
from streams.mapping.tables import Table, described

MAX_FIELDS, MAX_DEPTH = 100, 4

Make = Callable[[Parsed], Any]
"""A part of the value that is written, of a list; None to leave it out."""

_TIMES = (*UNITS, ISO)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_mapping(table: Table) -> tuple[str, MapRecord]:
    """The topic of a [[lists]] table, and the function that writes lists to it."""
    (name, *more) = table.texts("topic") or ("",)
    if not name or more:
        raise table.wrong("topic", "the name of one topic is needed")
    check_topic(table, name)
    write = template(table)
    skip, paths = rules(table, "skip")
    if any(path.root != "value" for path in paths):
        raise table.wrong("skip", "its paths are fields of a list")

    def lists(record: Origin, now_ms: int) -> Outcome:
        if record.value is None:
            return Skipped("tombstone")
        found = plain_list(record.value)
        if any_holds(skip, Parsed(record, found, None, lambda _: None)):
            return Skipped("rule")
        try:
            return Mapped(name, record.key or b"", write(found))
        except OverflowError:
            raise Refused(Refusal.INVALID, "a time out of bounds") from None

    return name, lists


def template(table: Table) -> Callable[[Any], bytes]:
    """The function that writes a list, as plain data, as JSON with the `fields` of the table. Raises `BadMapping`."""
    if "fields" not in table:
        raise BadMapping(f"`{table.where}` has no `fields`: say what a list is written as.")
    make = _object(table, Recommendation, 0)
    return lambda found: msgspec.json.encode(make(_of(None, found)))


def plain_list(value: bytes) -> Any:
    """A list as plain data, with lists where structs have tuples. Raises `Refused`."""
    return msgspec.json.decode(msgspec.json.encode(decode(Recommendation, value)))


def _of(record: Origin | None, data: Any) -> Parsed:
    return Parsed(record, data, None, lambda _: None)  # type: ignore[arg-type]  # paths of lists are in their data


def _object(table: Table, kind: Any, depth: int) -> Make:
    names = table.raw("fields")
    if not isinstance(names, dict) or not 0 < len(names) <= MAX_FIELDS or depth > MAX_DEPTH:
        raise table.wrong("fields", f"1 to {MAX_FIELDS} fields are needed, at most {MAX_DEPTH} deep")
    fields = Table(names, table.name("fields"), names)
    made = {name: _field(fields, name, kind, depth) for name in names}

    def make(parsed: Parsed) -> Any:
        return {name: found for name, one in made.items() if (found := one(parsed)) is not None}

    return make


def _field(table: Table, name: str, kind: Any, depth: int) -> Make:
    given = table.raw(name)
    inner = Table(
        given if isinstance(given, dict) else {"path": given},
        table.name(name),
        ("path", "value", "default", "unit", "each", "fields"),
    )
    if "value" in inner:
        constant = inner.raw("value")
        return lambda _: constant
    if "fields" in inner:
        return _each(inner, kind, depth) if "each" in inner else _object(inner, kind, depth + 1)
    if "path" not in inner:
        raise BadMapping(f"`{inner.where}` needs `path`, `value` or `fields`.")
    path = _known(inner, "path", kind)
    get, default = getter(path), inner.raw("default")
    if "unit" not in inner:
        return lambda parsed: default if (found := get(parsed)) is None else found
    convert = _written(inner.one_of("unit", _TIMES, "ms"))
    return lambda parsed: default if (found := get(parsed)) is None else convert(found)


def _each(table: Table, kind: Any, depth: int) -> Make:
    path = _known(table, "each", kind)
    element = _walked(kind, (*path.steps, 0))
    if path.plural or element is None:
        raise table.wrong("each", f"{described(path.text)} is no list")
    get, make = getter(path), _object(table, element, depth + 1)
    return lambda parsed: [make(_of(None, one)) for one in get(parsed) or ()]


def _known(table: Table, key: str, kind: Any) -> Path:
    """The path under `key`, which begins in data of the type `kind`. Raises `BadMapping` if that has no such field."""
    (path,) = paths_of(table, key, (table.text(key),), plural=True)
    if path.root != "value":
        raise table.wrong(key, f"{described(path.text)} is no field of a list")
    for at in range(1, len(path.steps) + 1):
        if _walked(kind, path.steps[:at]) is None:
            above = _walked(kind, path.steps[: at - 1])
            names = getattr(above, "__struct_fields__", ())
            known = f": there are {', '.join(names)}" if names else ""
            raise table.wrong(key, f"a list has no {described(path.text)}{known}")
    return path


def _walked(kind: Any, steps: tuple[str | int | None, ...]) -> Any:
    """The type at the steps from the type `kind`; None if there is none."""
    for step in steps:
        kind = _bare(kind)
        if isinstance(step, str):
            if get_origin(kind) is dict:
                kind = get_args(kind)[1]
                continue
            found = {each.encode_name: each.type for each in msgspec.structs.fields(kind)} if _is_struct(kind) else {}
            if step not in found:
                return None
            kind = found[step]
        elif get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        else:
            return None
    return _bare(kind)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _bare(kind: Any) -> Any:
    """A type without bounds and without None."""
    while True:
        if hasattr(kind, "__metadata__"):
            kind = get_args(kind)[0]
        elif NoneType in get_args(kind):
            kind = next(each for each in get_args(kind) if each is not NoneType)
        else:
            return kind


def _written(unit: str) -> Callable[[Any], Any]:
    """What writes a time, milliseconds since 1970, in another unit."""
    if unit != ISO:
        times, over = UNITS[unit]
        return lambda ms: ms * over // times

    def iso(ms: int) -> str:
        return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return iso
