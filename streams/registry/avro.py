"""Decode Avro values by their schema. Pure. Needs fastavro (the extra `registry`).

Schemas whose values could take unbounded work or depth are refused: types that contain themselves, and lists of
elements without bytes, of which a few bytes can claim any number.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.errors import Refusal, Refused
from streams.mapping.formats import Decode
from streams.registry.schemas import BadSchema, Schema

MAX_DEPTH, MAX_TYPES = 32, 10_000

_SCALARS = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_BUILT_IN = _SCALARS | {"record", "error", "union", "array", "map", "enum", "fixed"}


def avro_decoder(schema: Schema, others: Sequence[Schema]) -> Decode:
    """The function that decodes values of `schema`, which may name types of `others`. Raises `BadSchema`."""
    import fastavro  # noqa: PLC0415 - an extra

    named: dict[str, Any] = {}
    try:
        for each in (*others, schema):
            parsed = fastavro.parse_schema(msgspec.json.decode(each.text), named_schemas=named)
        _check(parsed, named, ())
    except BadSchema:
        raise
    except Exception as error:  # fastavro raises many kinds
        raise BadSchema(f"fastavro cannot read it ({type(error).__name__})") from None

    def decode(value: bytes) -> Any:
        source = io.BytesIO(value)
        try:
            found = fastavro.schemaless_reader(source, parsed, None)
        except Exception as error:  # fastavro raises many kinds for damaged values
            raise Refused(Refusal.MALFORMED, f"no Avro value of its schema ({type(error).__name__})") from None
        if source.tell() != len(value):
            raise Refused(Refusal.MALFORMED, "no Avro value of its schema: bytes are left behind it")
        return found

    return decode


def _check(found: Any, named: Mapping[str, Any], inside: tuple[str, ...], *, listed: bool = False) -> int:
    """How many types a parsed schema has with each named one written out; `listed`: for elements of a list or map.

    Raises `BadSchema`.
    """
    kind = found if isinstance(found, str) else "union" if isinstance(found, list) else found["type"]
    if not isinstance(kind, str):
        return _check(kind, named, inside, listed=listed)
    if kind not in _BUILT_IN:
        found = named[kind]
        kind = found["type"]
    if listed and (
        kind == "null" or (kind == "fixed" and not found["size"]) or (kind == "record" and not found["fields"])
    ):
        raise BadSchema("a list or map has elements, or parts of them, without bytes")
    parts: list[Any] = []
    if kind == "union":
        parts = [each for each in found if each != "null"]
    elif kind == "record":
        if found["name"] in inside:
            raise BadSchema("a type contains itself")
        parts = [each["type"] for each in found["fields"]]
    elif kind in ("array", "map"):
        parts, listed = [found["items" if kind == "array" else "values"]], True
    inside = (*inside, found["name"] if kind == "record" else "")
    if len(inside) > MAX_DEPTH:
        raise BadSchema(f"its types are nested deeper than {MAX_DEPTH}")
    total = 1
    for each in parts:
        total += _check(each, named, inside, listed=listed)
        if total > MAX_TYPES:
            raise BadSchema(f"it has more than {MAX_TYPES:,} types")
    return total
