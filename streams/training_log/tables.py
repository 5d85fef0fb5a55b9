"""Messages as rows of an Arrow table. Pure.

A table has the columns `partition`, `offset` and `logged` (milliseconds since 1970, the broker's time of the record),
and one for each field of the message, in the message's own types: the contract is the schema. A field that a later
version of the contract adds is a new column; files without it read as null.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import pyarrow as pa
from msgspec import inspect

PLACE = (("partition", pa.int32()), ("offset", pa.int64()), ("logged", pa.int64()))
"""The columns that say where a row was read."""


class Row(NamedTuple):
    """One record: its place in the topic, the broker's time of it in milliseconds, and its message."""

    partition: int
    offset: int
    logged: int
    message: msgspec.Struct


def schema_of(message: type[msgspec.Struct]) -> pa.Schema:
    """The schema of a table of these messages. Raises `TypeError` for a field of a type that no column can have."""
    told = inspect.type_info(message)
    assert isinstance(told, inspect.StructType)
    columns = [pa.field(name, kind, nullable=False) for name, kind in PLACE]
    return pa.schema([*columns, *(pa.field(each.encode_name, _column(each.type)) for each in told.fields)])


def table_of(message: type[msgspec.Struct], rows: Iterable[Row]) -> pa.Table:
    """The rows as a table of `schema_of(message)`."""
    plain = [
        {"partition": row.partition, "offset": row.offset, "logged": row.logged, **msgspec.to_builtins(row.message)}
        for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=schema_of(message))


def _column(kind: inspect.Type) -> pa.DataType:  # noqa: PLR0911 - one type a line
    match kind:
        case inspect.Metadata(type=inner):
            return _column(inner)
        case inspect.UnionType(types=types):
            (inner,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return _column(inner)
        case inspect.StrType() | inspect.EnumType():
            return pa.string()
        case inspect.BoolType():
            return pa.bool_()
        case inspect.IntType():
            return pa.int64()
        case inspect.FloatType():
            return pa.float64()
        case inspect.VarTupleType(item_type=inner) | inspect.ListType(item_type=inner):
            return pa.list_(_column(inner))
        case inspect.DictType(key_type=key, value_type=value):
            return pa.map_(_column(key), _column(value))
        case inspect.StructType(fields=fields):
            return pa.struct([pa.field(each.encode_name, _column(each.type)) for each in fields])
        case _:
            raise TypeError(f"{kind} has no column type")
