"""Recognise the format of bytes that are not a message, for the detail of a refusal. Pure.

Only called for refused values. Each sentence says what was found and what to send instead, and quotes nothing from the
value.
"""

import json
import re

MOST_LOOKED_AT = 4_096
"""Maximum bytes read to guess a format."""

_FORMATS = (
    (b"\xef\xbb\xbf", "a byte order mark before the value: write UTF-8 without one"),
    (b"\xff\xfe\x00\x00", "UTF-32 text: send UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text: send UTF-8"),
    (b"\xff\xfe", "UTF-16 text: send UTF-8"),
    (b"\xfe\xff", "UTF-16 text: send UTF-8"),
    (b"\x1f\x8b", "gzip bytes: send the message itself, and let the producer compress (compression.type)"),
    (b"\x28\xb5\x2f\xfd", "zstd bytes: send the message itself, and let the producer compress (compression.type)"),
    (b"\x04\x22\x4d\x18", "lz4 bytes: send the message itself, and let the producer compress (compression.type)"),
    (b"\x82SNAPPY\x00", "snappy bytes: send the message itself, and let the producer compress (compression.type)"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy bytes: send the message itself, and let the producer compress"),
    (b"BZh", "bzip2 bytes: send the message itself"),
    (b"\xfd7zXZ\x00", "xz bytes: send the message itself"),
    (b"PK\x03\x04", "a zip archive: send the message itself"),
    (b"\xac\xed\x00\x05", "a serialized Java object: use a JSON serializer for values"),
    (b"Obj\x01", "an Avro file: send a MessagePack map or a JSON object"),
    (b"\xc3\x01", "an Avro value with its schema's fingerprint: send a MessagePack map or a JSON object"),
    (b"\x80\x02", "a Python pickle: use msgpack or json.dumps"),
    (b"\x80\x03", "a Python pickle: use msgpack or json.dumps"),
    (b"\x80\x04", "a Python pickle: use msgpack or json.dumps"),
    (b"\x80\x05", "a Python pickle: use msgpack or json.dumps"),
    (b"PAR1", "a Parquet file: send one message per record (`ouzel replay` reads such files)"),
    (b":)\n", "Smile: send a MessagePack map or a JSON object"),
    (b"\xd9\xd9\xf7", "CBOR: send a MessagePack map or a JSON object"),
)
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_OPENS = (b"{", b"[", b'"')
_SPACE = b" \t\r\n"
_NOT_JSON = (
    (rb"-?(NaN|Infinity)\b", "NaN or infinity, which JSON does not allow: leave the field out"),
    (rb"None\b|True\b|False\b", "Python's None, True or False: use json.dumps"),
    (rb"undefined\b", "undefined, which JSON does not allow: leave the field out"),
    (rb"'", "single quotes, as Python prints a dict: use json.dumps"),
    (rb"//|/\*|#", "a comment, which JSON does not allow"),
    (rb"[A-Za-z_]", "a name without double quotes"),
    (rb"[}\]]", "a trailing comma or a missing value"),
)
_PLACE = re.compile(r"\(byte (\d+)\)")


def of_bytes(value: bytes) -> str | None:
    """Describe a value that is neither a MessagePack map nor a JSON object; None if not recognised."""
    marked = of_mark(value)
    if marked is not None:
        return marked
    text = value.strip(_SPACE)
    if not text:
        return "only white space: send a MessagePack map or a JSON object"
    return _of_text(text) or _of_wide_text(value) or _of_prefix(value) or _of_messagepack(value) or _of_fields(value)


def of_mark(value: bytes) -> str | None:
    """Describe a value by the magic bytes of its format; None if it begins with none."""
    return next((found for start, found in _FORMATS if value.startswith(start)), None)


def of_json(value: bytes, complaint: str) -> str | None:
    """Describe the fault at the position in the decoder's error `complaint`; None if not recognised."""
    if _of_wide_text(value) is not None:
        return _of_wide_text(value)
    if "truncated" in complaint:
        return "truncated, or an unclosed bracket or quote"
    place = _PLACE.search(complaint)
    if place is None:
        return None
    at = int(place[1])
    if "trailing characters" in complaint:
        more = value[at - 1 :].lstrip(_SPACE).startswith(b"{")
        return f"{'a second JSON object' if more else 'data'} trailing the JSON object: send one object per record"
    for pattern, found in _NOT_JSON:
        if re.compile(pattern).match(value, at):
            return f"{found} (byte {at})"
    return None


def _of_text(text: bytes) -> str | None:  # noqa: PLR0911 - one kind of text a line
    start = text[:1]
    if start == b"[":
        return "a JSON array: send one JSON object per record"
    if start == b'"':
        return _of_json_string(text)
    if text == b"null":
        return "the word null: send a record without a value, or a JSON object"
    if re.fullmatch(rb"true|false|-?[\d.eE+-]+", text):
        return "a JSON number or word: send a JSON object"
    if start == b"<":
        return "XML: send a JSON object"
    if re.match(rb"(eyJ|W3si|ey[A-Za-z0-9])[A-Za-z0-9+/=_-]*$", text):
        return "base64 text: send the bytes themselves"
    if re.match(rb"7[bB]([0-9a-fA-F]{2})+$", text):
        return "hexadecimal text: send the bytes themselves"
    if re.match(rb"Struct\{|\w+\(|\w+\{", text):
        return "the printed form of an object: use a JSON serializer for values"
    printable = all(32 <= byte < 127 or byte in _SPACE for byte in text[:MOST_LOOKED_AT])
    return "plain text: send a JSON object" if printable else None


def _of_json_string(text: bytes) -> str:
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return "a JSON string: send a JSON object"
    if inner.strip()[:1] in ("{", "["):
        return "JSON inside a JSON string: the value was serialized twice, send the object itself"
    return "a JSON string: send a JSON object"


def _of_wide_text(value: bytes) -> str | None:
    """UTF-16 without a byte order mark: every other byte of ASCII is 0."""
    start = value[:8]
    if len(start) >= 4 and any(not any(start[at::2]) and all(start[1 - at :: 2]) for at in (0, 1)):
        return "UTF-16 text: send UTF-8"
    return None


def _of_prefix(value: bytes) -> str | None:
    """The 5-byte prefix of schema registry serializers: a 0 and the schema's id."""
    if value[0] != 0 or len(value) < 6:
        return None
    behind = "JSON" if value[5:].lstrip(_SPACE)[:1] in _OPENS else "probably Avro or Protobuf"
    return f"a schema registry prefix (byte 0 and a 4-byte id), then {behind}: use a plain JSON serializer for values"


def _of_messagepack(value: bytes) -> str | None:
    first = value[0]
    if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
        return "a MessagePack array: send one map per record"
    size = first & 0x1F if 0xA0 <= first <= 0xBF else None
    behind = value[1:]
    for byte, width in ((0xD9, 1), (0xDA, 2), (0xDB, 4), (0xC4, 1), (0xC5, 2), (0xC6, 4)):
        if first == byte:
            size, behind = int.from_bytes(value[1 : 1 + width], "big"), value[1 + width :]
    if size is not None and size == len(behind):
        what = "bytes" if 0xC4 <= first <= 0xC6 else "string"
        twice = bool(behind) and (behind.lstrip(_SPACE)[:1] in (b"{", b"[") or 0x80 <= behind[0] <= 0x9F)
        return (
            f"a message inside MessagePack {what}: serialized twice" if twice else f"a MessagePack {what}: send a map"
        )
    if first == 0xC0:
        return "a MessagePack nil: send a record without a value, or a map"
    if 0xA1 <= first <= 0xB7 and 0x61 <= value[1:2].ljust(1)[0] <= 0x77:
        return "probably CBOR: send a MessagePack map or a JSON object"
    return None


def _of_fields(value: bytes) -> str | None:
    """Binary formats without magic bytes, recognised by whether all or part of the value parses."""
    if value.startswith(_ZLIB):
        return "zlib bytes: send the message itself, and let the producer compress (compression.type)"
    if len(value) >= 5 and int.from_bytes(value[:4], "little") == len(value) and value[-1] == 0:
        return "BSON: send a MessagePack map or a JSON object"
    if _reads_as_protobuf(value):
        return "probably Protobuf: send a MessagePack map or a JSON object"
    if _reads_as_avro(value):
        return "probably Avro: send a MessagePack map or a JSON object"
    return None


def _reads_as_protobuf(value: bytes) -> bool:
    """Whether the whole value parses as Protobuf fields: a tag with field number and wire type, then the payload."""
    at = fields = 0
    while at < len(value) and fields < 64:
        tag, at = _varint(value, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1_000 or wire not in (0, 1, 2, 5):
            return False
        if wire == 2:
            size, at = _varint(value, at)
            at += size if size >= 0 else len(value) + 1
        elif wire == 0:
            _, at = _varint(value, at)
        else:
            at += 8 if wire == 1 else 4
        fields += 1
    return fields > 1 and (at == len(value) or fields == 64)


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """The varint at `at` and the position after it; -1 and a position past the end if there is none."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(value):
            break
        number |= (value[at] & 0x7F) << shift
        at += 1
        if value[at - 1] < 0x80:
            return number, at
    return -1, len(value) + 1


def _reads_as_avro(value: bytes) -> bool:
    """Whether the value begins with two Avro strings: twice the length, then the text."""
    at = 0
    for _ in range(2):
        size, at = _varint(value, at)
        text = value[at : at + (size >> 1)]
        if size <= 0 or size & 1 or len(text) < size >> 1 or not all(32 <= byte < 127 for byte in text):
            return False
        at += size >> 1
    return True
