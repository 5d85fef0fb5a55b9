"""The formats of records on other topics, decoded to plain data: JSON, MessagePack, and those of a schema registry.

The serializers of a schema registry begin a value with a byte 0 and the schema's id in four bytes. Pure: the decoders
of Avro and Protobuf schemas are passed in by id.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.errors import Refusal, Refused
from schemas.findings import of_bytes, of_json
from schemas.limits import MAX_DETAIL_LENGTH, MAX_ORIGINAL_BYTES

Decode = Callable[[bytes], Any]
"""Plain data of a value. Raises `Refused`, and `SchemaMissing`."""

SchemaDecoders = Mapping[int, Decode]
"""The decoders of the schemas that are known, by id."""

JSON, MSGPACK, JSON_SCHEMA, AVRO, PROTOBUF, TEXT = "json", "msgpack", "json-schema", "avro", "protobuf", "text"
FORMATS = (JSON, MSGPACK, AVRO, PROTOBUF, JSON_SCHEMA)
OF_REGISTRY = (AVRO, PROTOBUF)
"""Formats whose schemas are needed to decode a value."""

PREFIX_BYTES = 5

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, ValueError, TypeError, RecursionError, OverflowError)


class SchemaMissing(Exception):
    """The schema `id` is not known yet: ask the registry, and decode again."""

    def __init__(self, schema: int) -> None:
        super().__init__(f"schema {schema}")
        self.schema = schema


def decoder(form: str, schemas: SchemaDecoders) -> Decode:
    """The function that decodes values of the format `form`."""
    if form == JSON:
        return _json
    if form == MSGPACK:
        return _msgpack
    if form == TEXT:
        return _text
    if form == JSON_SCHEMA:
        return lambda value: _json(value[PREFIX_BYTES:] if value[:1] == b"\0" else value)

    def framed(value: bytes) -> Any:
        if len(value) < PREFIX_BYTES or value[0] != 0:
            raise Refused(Refusal.MALFORMED, f"no schema registry prefix (byte 0 and a 4-byte id) before the {form}")
        schema = int.from_bytes(value[1:PREFIX_BYTES], "big")
        decode = schemas.get(schema)
        if decode is None:
            raise SchemaMissing(schema)
        return decode(value[PREFIX_BYTES:])

    return framed


def checked_size(value: bytes) -> bytes:
    """The value. Raises `Refused` if it is larger than a dead letter could hold."""
    if len(value) > MAX_ORIGINAL_BYTES:
        raise Refused(Refusal.TOO_LARGE, f"{len(value)} bytes; at most {MAX_ORIGINAL_BYTES} are accepted")
    return value


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except RecursionError:
        raise Refused(Refusal.MALFORMED, "nested too deeply") from None
    except _UNREADABLE as error:
        raise _malformed("JSON", _of_json(value, error)) from None


def _msgpack(value: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(value)
    except RecursionError:
        raise Refused(Refusal.MALFORMED, "nested too deeply") from None
    except _UNREADABLE:
        raise _malformed("MessagePack", of_bytes(value) if value else "empty") from None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused(Refusal.MALFORMED, "a key that is not UTF-8 text: set key_format") from None


def _of_json(value: bytes, error: Exception) -> str | None:
    if not value:
        return "empty"
    if value[0] == 0 and len(value) > PREFIX_BYTES:
        return 'a schema registry prefix: set format = "json-schema", "avro" or "protobuf"'
    return of_json(value, str(error)) if value.lstrip()[:1] == b"{" else of_bytes(value)


def _malformed(form: str, found: str | None) -> Refused:
    return Refused(Refusal.MALFORMED, f"not {form}{f': found {found}' if found else ''}"[:MAX_DETAIL_LENGTH])
