"""Decode Protobuf values by the file descriptor of their schema. Pure.

The registry sends the descriptor (`format=serialized`), so no .proto file is parsed here. Before a value stand the
indexes of its message among those of the file, outermost first: a count and as many numbers, zigzag varints, or a byte
0 for the first message.
"""

import base64
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError

from schemas.errors import Refusal, Refused
from streams.mapping.formats import Decode
from streams.registry.schemas import BadSchema, Schema

MAX_INDEXES = 16
KNOWN = "google/protobuf/"
"""Files that come with Protobuf."""


def protobuf_decoder(schema: Schema, others: Sequence[Schema]) -> Decode:
    """The function that decodes values of messages in `schema`, whose file imports `others`. Raises `BadSchema`.

    Fields have their names in the file, also where they have their default value. Enumerations are their names, 64-bit
    integers text, and timestamps text in ISO 8601, as in Protobuf's JSON.
    """
    pool = descriptor_pool.DescriptorPool()
    try:
        for each in (*others, schema):
            proto = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(each.text, validate=True))
            proto.name = each.name
            for name in proto.dependency:
                if name.startswith(KNOWN):
                    _add_known(pool, name)
            pool.AddSerializedFile(proto.SerializeToString())
        file = pool.FindFileByName(schema.name)
    except Exception as error:  # of base64, and of Protobuf many kinds
        raise BadSchema(f"it is no file descriptor of Protobuf ({type(error).__name__})") from None
    top = [file.message_types_by_name[each] for each in file.message_types_by_name]

    def decode(value: bytes) -> Any:
        try:
            indexes, at = _indexes(value)
            described = top[indexes[0]]
            for index in indexes[1:]:
                described = described.nested_types[index]
        except IndexError:
            raise Refused(Refusal.MALFORMED, "the message indexes before the value fit no message") from None
        message = message_factory.GetMessageClass(described)()
        try:
            message.ParseFromString(value[at:])
            return json_format.MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        except (DecodeError, ValueError, TypeError, RecursionError) as error:
            raise Refused(Refusal.MALFORMED, f"no Protobuf value of its schema ({type(error).__name__})") from None

    return decode


def _add_known(pool: Any, name: str) -> None:
    """Add a file that comes with Protobuf, and what it imports."""
    __import__(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    file = descriptor_pool.Default().FindFileByName(name)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    for each in proto.dependency:
        _add_known(pool, each)
    pool.AddSerializedFile(proto.SerializeToString())


def _indexes(value: bytes) -> tuple[list[int], int]:
    """The message indexes at the start of a value, and the position behind them. Raises `IndexError`."""
    count, at = _varint(value, 0)
    if count == 0:
        return [0], at
    if not 0 < count <= MAX_INDEXES:
        raise IndexError
    found = []
    for _ in range(count):
        index, at = _varint(value, at)
        if index < 0:
            raise IndexError
        found.append(index)
    return found, at


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at `at`, and the position behind it. Raises `IndexError`."""
    number = 0
    for shift in range(0, 35, 7):
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise IndexError
