"""Generate the tables of docs/reference/contract.md from the types. `make docs` updates the page.

Each table is between `<!-- table: NAME -->` and `<!-- end -->`, where NAME is `topics` or a message type.
"""

import re

import msgspec
from msgspec import inspect

from schemas import topics

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables regenerated. Raises `ValueError` for an unknown table name."""
    made = tables()

    def fill(found: re.Match[str]) -> str:
        if found[2] not in made:
            raise ValueError(f"no table `{found[2]}`: use one of {', '.join(made)}")
        return f"{found[1]}\n{made[found[2]]}\n\n{found[3]}"

    return _TABLE.sub(fill, page)


def tables() -> dict[str, str]:
    """Every table by name: `topics`, and one for each struct of the contract."""
    made = {"topics": _topics()}
    for topic in topics.ALL:
        if topic.value is not None:
            _add(made, topic.value)
    return made


def _topics() -> str:
    rows = ["| topic | key | value | retention |", "|---|---|---|---|"]
    for topic in topics.ALL:
        value = f"[{topic.value.__name__}](#{topic.value.__name__.lower()})" if topic.value else "private to workers"
        key = "key of the original" if topic.key == "key" else f"`{topic.key}`"
        retention = ["compacted" if topic.compacted else "by time"]
        if topic.internal:
            retention.append("internal")
        rows.append(f"| `{topic.name}` | {key} | {value} | {', '.join(retention)} |")
    return "\n".join(rows)


def _add(made: dict[str, str], kind: type[msgspec.Struct]) -> None:
    """Add the table of a struct, and of the structs nested in it."""
    described = inspect.type_info(kind)
    if not isinstance(described, inspect.StructType) or kind.__name__ in made:
        return
    array = described.array_like
    rows = [f"| {'index' if array else 'field'} | type | bounds | required |", "|---|---|---|---|"]
    if described.tag is not None:
        rows.append(f"| `v` | whole number | {described.tag} | no: 1 |")
    for at, field in enumerate(described.fields):
        what, bounds = _described(field.type)
        place = f"{at}: `{field.name}`" if array else f"`{field.name}`"
        rows.append(f"| {place} | {what} | {bounds} | {_needed(field)} |")
    made[kind.__name__] = "\n".join(rows)
    for field in described.fields:
        for held in _structs(field.type):
            _add(made, held)


def _needed(field: inspect.Field) -> str:
    if field.required:
        return "yes"
    default = field.default
    # A default factory stands for an empty list or map.
    return "no" if not default or default is msgspec.NODEFAULT else f"no: `{default}`"


def _structs(kind: inspect.Type) -> list[type[msgspec.Struct]]:
    match kind:
        case inspect.StructType(cls=cls):
            return [cls]
        case inspect.UnionType(types=types):
            return [held for one in types for held in _structs(one)]
        case inspect.VarTupleType(item_type=item):
            return _structs(item)
        case inspect.DictType(value_type=value):
            return _structs(value)
    return []


def _described(kind: inspect.Type) -> tuple[str, str]:
    """The type and the bounds of a value, in words."""
    match kind:
        case inspect.Metadata(type=inner):
            return _described(inner)
        case inspect.UnionType(types=types):
            return _described(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item, max_length=most):
            what, bounds = _described(item)
            return f"list of {what}", f"at most {most:,}" + (f"; each {bounds}" if bounds else "")
        case inspect.DictType(key_type=key, value_type=value, max_length=most):
            (named, names), (what, bounds) = _described(key), _described(value)
            return f"map of {named} to {what}", f"at most {most:,}; each {names}" + (
                f", and {bounds}" if bounds else ""
            )
        case _:
            return _single(kind)


def _single(kind: inspect.Type) -> tuple[str, str]:  # noqa: PLR0911 - one case a line
    match kind:
        case inspect.StructType(cls=cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})", ""
        case inspect.EnumType(cls=cls):
            return "text", " or ".join(f"`{one.value}`" for one in cls)
        case inspect.StrType(pattern=str(), max_length=most):
            return "text", f"1 to {most} of a-z, 0-9 and _"
        case inspect.StrType(min_length=least, max_length=most):
            return "text", f"{least or 0} to {most:,} characters"
        case inspect.BytesType(max_length=most):
            return "bytes", f"at most {most:,}"
        case inspect.BoolType():
            return "true or false", ""
        case inspect.FloatType(ge=least, le=most):
            return "number", f"{least:g} to {most:g}".replace("e+", "e")
        case inspect.IntType(ge=least, le=most, lt=limit):
            return "whole number", f"{least:,} to {most if most is not None else (limit or 0) - 1:,}"
    raise TypeError(f"no description for {kind}: add a case for it")
