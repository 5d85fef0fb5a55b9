"""Decoding Avro values; hostile schemas and values are refused."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refusal, Refused
from streams.registry.avro import avro_decoder
from streams.registry.schemas import BadSchema, Schema
from tests.streams.mapping.records import event
from tests.streams.mapping.records import given as record
from tests.support.schema_registry import framed

fastavro = pytest.importorskip("fastavro", reason="fastavro is not installed")

WIDE = {
    "type": "record",
    "name": "Wide",
    "fields": [
        {"name": "user", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["SEEN", "BOUGHT"]}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "int"}, {"name": "more", "type": {"type": "map", "values": "long"}}]}}},
    ],
}  # fmt: skip
AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
VALUE = {"user": "ann", "at": AT, "price": Decimal("3.50"), "kind": "SEEN", "lines": [{"sku": 7, "more": {"n": 1}}]}


def decoder(schema: Any, *others: Any) -> Any:
    texts = [msgspec.json.encode(each).decode() for each in (schema, *others)]
    return avro_decoder(Schema("s", texts[0]), [Schema("o", text) for text in texts[1:]])


def written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def test_values_are_plain_data() -> None:
    assert decoder(WIDE)(written(WIDE, VALUE)) == VALUE


def test_avro_record_becomes_an_event_whatever_the_unit() -> None:
    text = """
    [[events]]
    topic = "clicks"
    format = "avro"
    user = "user"
    item = "lines[0].sku"
    kind = { path = "kind", map = { SEEN = "view", BOUGHT = "purchase" } }
    ts = "at"
    """
    made = event(text, record(framed(3, written(WIDE, VALUE))), {3: decoder(WIDE)})
    assert (made.user, made.item, made.kind, made.ts) == ("ann", "7", "view", 1_790_000_000_000)


LIST = {"type": "array", "items": "null"}
NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
DEEP: Any = "int"
for _ in range(40):
    DEEP = {"type": "array", "items": DEEP}
WIDENING: Any = {"type": "record", "name": "r0", "fields": [{"name": "a", "type": "null"}]}
for number in range(1, 25):
    fields = [{"name": "a", "type": WIDENING}, {"name": "b", "type": f"r{number - 1}"}]
    WIDENING = {"type": "record", "name": f"r{number}", "fields": fields}
EMPTY = {"type": "record", "name": "E", "fields": []}
NULLS = {"type": "record", "name": "N", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (LIST, "without bytes"),
        ({"type": "array", "items": EMPTY}, "without bytes"),
        ({"type": "array", "items": NULLS}, "without bytes"),
        ({"type": "map", "values": "null"}, "without bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}, "without bytes"),
        (NODE, "a type contains itself"),
        (DEEP, "nested deeper than 32"),
        (WIDENING, "more than 10,000 types"),
        ({"type": "nothing"}, "fastavro cannot read it"),
        ({"type": "record", "name": "x", "fields": [{"name": "a", "type": "Missing"}]}, "fastavro cannot read it"),
    ],
    ids=range(10),
)
def test_schema_of_unbounded_work_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(BadSchema, match=why):
        decoder(schema)


def test_schema_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadSchema, match="fastavro cannot read it"):
        avro_decoder(Schema("s", "{"), [])


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(value: bytes) -> None:
    decode = DECODE
    try:
        decode(value)
    except Refused as error:
        code = error.code
    else:
        code = Refusal.MALFORMED
    assert code is Refusal.MALFORMED


DECODE = decoder(WIDE)


def test_bytes_behind_a_value_are_refused() -> None:
    with pytest.raises(Refused, match="bytes are left behind it"):
        decoder(WIDE)(written(WIDE, VALUE) + b"\0")
