"""Decoding Protobuf values by file descriptors, which these tests make without a compiler."""

import base64
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refused
from streams.mapping.formats import SchemaMissing
from streams.registry.protobuf import protobuf_decoder
from streams.registry.schemas import BadSchema, Schema
from tests.streams.mapping.records import event, mapped
from tests.streams.mapping.records import given as record
from tests.support.schema_registry import framed

TYPES = descriptor_pb2.FieldDescriptorProto


def file_of(name: str, package: str = "shop") -> Any:
    return descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")


def add(message: Any, name: str, kind: Any, number: int, of: str = "") -> None:
    made = message.field.add(name=name, number=number, type=kind, label=TYPES.LABEL_OPTIONAL)
    if of:
        made.type_name = of


USERS = file_of("users.proto")
add(USERS.message_type.add(name="User"), "id", TYPES.TYPE_INT64, 1)

CLICKS = file_of("default")
CLICKS.dependency.extend(["users.proto", "google/protobuf/timestamp.proto"])
CLICKS.message_type.add(name="Unused")
CLICK = CLICKS.message_type.add(name="Outer").nested_type.add(name="Click")
add(CLICK, "user", TYPES.TYPE_MESSAGE, 1, ".shop.User")
add(CLICK, "item", TYPES.TYPE_STRING, 2)
add(CLICK, "at", TYPES.TYPE_MESSAGE, 3, ".google.protobuf.Timestamp")
add(CLICK, "kind", TYPES.TYPE_ENUM, 4, ".shop.Kind")
KIND = CLICKS.enum_type.add(name="Kind")
for number, name in enumerate(("SEEN", "BOUGHT")):
    KIND.value.add(name=name, number=number)

INDEXES = b"\x04\x02\x00"
"""Of two indexes: message 1, and in it message 0, as zigzag varints."""


def schema(file: Any, name: str = "schema-1") -> Schema:
    return Schema(name, base64.b64encode(file.SerializeToString()).decode())


def decoder() -> Any:
    return protobuf_decoder(schema(CLICKS), [schema(USERS, "users.proto")])


def click(**fields: Any) -> bytes:
    pool = descriptor_pool.DescriptorPool()
    known = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName("google/protobuf/timestamp.proto").CopyToProto(known)
    for each in (known, USERS, CLICKS):
        pool.AddSerializedFile(each.SerializeToString())
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Outer.Click"))(**fields)
    return bytes(message.SerializeToString())


TEXT = """
[[events]]
topic = "clicks"
format = "protobuf"
user = "user.id"
item = "item"
kind = { path = "kind", map = { SEEN = "view", BOUGHT = "purchase" } }
ts = { path = "at", unit = "iso" }
"""


def test_message_becomes_an_event() -> None:
    value = INDEXES + click(user={"id": 42}, item="film-7", at={"seconds": 1_790_000_000})
    made = event(TEXT, record(framed(1, value)), {1: decoder()})
    assert (made.user, made.item, made.kind, made.ts) == ("42", "film-7", "view", 1_790_000_000_000)


def test_first_message_has_a_short_prefix() -> None:
    assert decoder()(b"\x00") == {}
    assert protobuf_decoder(schema(USERS), [])(b"\x00\x08\x2a") == {"id": "42"}


def test_unknown_schema_is_asked_for() -> None:
    with pytest.raises(SchemaMissing) as missing:
        mapped(TEXT, record(framed(9, b"")))
    assert missing.value.schema == 9


@pytest.mark.parametrize(
    "prefix", [b"", b"\x04", b"\x02\x08", b"\x01\x00", b"\x42", b"\x02\x01", b"\xff" * 9, b"\x04\x02\x02"]
)
def test_wrong_indexes_are_refused(prefix: bytes) -> None:
    with pytest.raises(Refused, match="the message indexes before the value fit no message"):
        decoder()(prefix)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_decoded_or_refused(value: bytes, whole: bool) -> None:
    try:
        found = DECODE(INDEXES + value if whole else value)
    except Refused as error:
        assert len(error.detail) <= 200  # noqa: PT017 - both outcomes are right
    else:
        assert isinstance(found, dict)


DECODE = decoder()


def test_text_that_is_no_descriptor_is_refused() -> None:
    for text in ("syntax = 3", base64.b64encode(b"\xff\xff").decode(), schema(CLICKS).text):
        with pytest.raises(BadSchema, match="no file descriptor of Protobuf"):
            protobuf_decoder(Schema("s", text), [])
