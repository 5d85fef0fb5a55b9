"""Refusals say what was found and what to send instead, and quote nothing from the value."""

import base64
import gzip
import json
import pickle
import zlib
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, decode_event, decode_item
from schemas.errors import Refusal, Refused
from schemas.events import Event, EventKind
from schemas.findings import of_bytes, of_json
from schemas.items import Item
from schemas.limits import MAX_DETAIL_LENGTH
from tests.schemas.examples import EXAMPLES, NOW

USER, THING = "zoe-4711", "brazil-1985"
LIKE: dict[str, Any] = {"id": "e-77", "user": USER, "kind": "like", "ts": NOW, "item": THING}
TEXT = json.dumps(LIKE).encode()
REGISTRY = b"\x00\x00\x00\x00\x07"
AVRO = b"\x08e-77\x10zoe-4711\x04\x16brazil-1985" + b"\x80\x90\xa6\xf7\x90h"
PROTOBUF = b"\x0a\x04e-77\x12\x08zoe-4711\x18\x02\x22\x0bbrazil-1985\x28\x80\x90\xa6\xf7\x90h"


def refusal(value: bytes, key: bytes = USER.encode()) -> Refused:
    with pytest.raises(Refused) as refused:
        decode_event(value, key=key, now_ms=NOW)
    detail = refused.value.detail
    assert len(detail) <= MAX_DETAIL_LENGTH
    assert detail.isprintable()
    for private in (USER, THING, "e-77", "4711"):
        assert private not in detail
    return refused.value


def changed(**fields: Any) -> bytes:
    return json.dumps(LIKE | fields).encode()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"\xef\xbb\xbf" + TEXT, "a byte order mark"),
        (TEXT.decode().encode("utf-16"), "UTF-16"),
        (TEXT.decode().encode("utf-16-be"), "UTF-16"),
        (TEXT.decode().encode("utf-16-le"), "UTF-16"),
        (TEXT.decode().encode("utf-32"), "UTF-32"),
        (REGISTRY + TEXT, "a schema registry prefix (byte 0 and a 4-byte id), then JSON"),
        (REGISTRY + AVRO, "a schema registry prefix (byte 0 and a 4-byte id), then probably Avro or Protobuf"),
        (AVRO, "probably Avro"),
        (b"\xc3\x01" + bytes(range(1, 9)) + AVRO, "Avro"),
        (b"Obj\x01" + AVRO, "an Avro file"),
        (PROTOBUF, "probably Protobuf"),
        (b"[" + TEXT + b"]", "a JSON array"),
        (msgpack.packb([LIKE]), "a MessagePack array"),
        (json.dumps(TEXT.decode()).encode(), "JSON inside a JSON string"),
        (msgpack.packb(TEXT.decode()), "serialized twice"),
        (msgpack.packb(msgpack.packb(LIKE)), "serialized twice"),
        (json.dumps("hello").encode(), "a JSON string"),
        (gzip.compress(TEXT), "gzip"),
        (zlib.compress(TEXT), "zlib"),
        (b"\x28\xb5\x2f\xfd" + TEXT, "zstd"),
        (b"\x82SNAPPY\x00" + TEXT, "snappy"),
        (pickle.dumps(LIKE), "pickle"),
        (b"\xac\xed\x00\x05sr" + TEXT, "Java"),
        (base64.b64encode(TEXT), "base64"),
        (TEXT.hex().encode(), "hexadecimal"),
        (repr(LIKE).encode(), "single quotes"),
        (TEXT[:-1] + b', "value": NaN}', "NaN"),
        (TEXT + TEXT, "a second JSON object"),
        (TEXT[:-1] + b",}", "a trailing comma"),
        (TEXT[:-1], "an unclosed bracket"),
        (b"<event/>", "XML"),
        (b"e-77;zoe-4711;like", "plain text"),
        (b" \n", "white space"),
        (b"null", "null"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_foreign_formats_are_named(value, found):
    refused = refusal(value)
    assert refused.code is Refusal.MALFORMED
    assert found in refused.detail


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            json.dumps({"eventId": "e-77", "userId": USER, "eventType": "like", "ts": NOW}).encode(),
            ['unknown field "userId": did you mean "user"?', '"eventId": did you mean "id"?', '"eventType"'],
        ),
        (
            msgpack.packb({"id": "e-77", "user_id": USER, "kind": "like", "ts": NOW, "item": THING}),
            ['unknown field "user_id": did you mean "user"?'],
        ),
        (json.dumps({"id": "e-77", "usr": USER, "kind": "like", "ts": NOW}).encode(), ['"usr": did you mean "user"?']),
        (
            json.dumps({"id": "e-77", "user": USER, "kind": "like", "ts": NOW, "productId": THING}).encode(),
            ["a like event needs an item", '"productId": did you mean "item"?', "`$.item`"],
        ),
        (json.dumps({USER: THING, "kind": "like"}).encode(), ["missing required field `id`"]),
        (json.dumps({"schema": {}, "payload": LIKE}).encode(), ["Kafka Connect", "schemas.enable=false"]),
        (json.dumps({"before": None, "after": LIKE, "op": "c"}).encode(), ["Debezium"]),
        (json.dumps({"specversion": "1.0", "data": LIKE}).encode(), ["CloudEvent"]),
        (json.dumps({"data": LIKE}).encode(), ['inside "data"']),
        (changed(kind="LIKE"), [*EventKind, "did you mean `like`?", "`$.kind`"]),
        (changed(kind="purchased"), [*EventKind, "did you mean `purchase`?"]),
        (changed(kind="share"), [*EventKind]),
        (changed(kind=USER), [*EventKind]),
        (changed(kind=None), ["`kind` (null is absent)"]),
        (changed(user=4711), ["Expected `str`, got `int`", "in quotes", "`$.user`"]),
        (changed(item=4711), ["got `int`", "in quotes", "`$.item`"]),
        (changed(ts=str(NOW)), ["a number in quotes", "`$.ts`"]),
        (changed(ts="2026-11-27T02:00:00Z"), ["a date as text: send milliseconds", "`$.ts`"]),
        (changed(ts=-5), [">= 0", "`$.ts`"]),
        (changed(kind="rate", value="4.5"), ["a number in quotes", "`$.value`"]),
        (changed(kind="rate", value=9), ["from 0 to 5", "`$.value`"]),
        (changed(user={"string": USER}), ["Avro", "`$.user`"]),
        (msgpack.packb(LIKE | {"user": USER.encode()}), ["not bytes", "`$.user`"]),
    ],
)
def test_wrong_fields_are_explained(value, says):
    refused = refusal(value)
    assert refused.code is Refusal.INVALID
    for part in says:
        assert part in refused.detail


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (json.dumps(USER).encode(), "quotes"),
        (json.dumps({"id": USER}).encode(), "JSON object"),
        (REGISTRY + USER.encode(), "schema registry"),
        ((4711).to_bytes(8, "big"), "binary number"),
        (USER.upper().encode(), "capitals"),
        (b" " + USER.encode(), "white space"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_wrong_key_format_is_named(key, says):
    refused = refusal(TEXT, key)
    assert refused.code is Refusal.KEY_MISMATCH
    assert says in refused.detail


def test_item_with_a_misnamed_title_gets_a_hint():
    with pytest.raises(Refused, match='"name": did you mean "title"'):
        decode_item(json.dumps({"id": "x", "name": "X"}).encode(), key=b"x")


@pytest.mark.parametrize("dump", [msgpack.packb, lambda data: json.dumps(data).encode()], ids=["MessagePack", "JSON"])
@pytest.mark.parametrize("message", EXAMPLES.values(), ids=EXAMPLES)
def test_null_counts_as_absent_in_optional_fields(message, dump):
    plain = msgspec.json.decode(msgspec.json.encode(message))
    required = required_of(type(message))
    least = {name: value for name, value in plain.items() if name in required}
    nulls = dict.fromkeys({*type(message).__struct_fields__, "v"} - required)
    try:
        expected = decode(type(message), dump(least))
    except Refused:
        pytest.skip("what is required of it does not go through plain JSON")
    assert decode(type(message), dump({**nulls, **least})) == expected
    for name in required:
        with pytest.raises(Refused, match=f"`{name}`"):
            decode(type(message), dump({**least, name: None}))


def test_null_counts_as_absent_in_nested_structs():
    entry = {"item": "x", "score": 1, "behavioural": 1, "propensity": 1, "sources": [], "model": None}
    made = {"id": "l", "user": "u", "scene": "s", "ts": 1, "trigger": "t", "partition": 0, "offset": 0}
    made |= {"freshness_ms": 0, "took_ms": 0, "degraded": None}
    made["entries"] = [entry | {"reason": {"code": "fresh", "text": "x", "because": None}}]
    read: Any = decode(type(EXAMPLES["recommendation.full"]), json.dumps(made).encode())
    assert read.entries[0].model is None
    assert read.entries[0].reason.because == ()


def test_nulls_change_no_other_check():
    nulls = dict.fromkeys(("scene", "value", "list", "v"))
    assert decode_event(changed(**nulls), key=USER.encode(), now_ms=NOW).scene == "default"
    assert "`$.ts`" in refusal(changed(**nulls, ts="soon")).detail
    twice = TEXT[:-1] + b', "list": "l-1", "list": null}'
    assert decode_event(twice, key=USER.encode(), now_ms=NOW).list is None


@given(value=st.binary(min_size=1, max_size=200), complaint=st.integers(0, 300))
def test_guess_never_fails(value, complaint):
    of_bytes(value)
    of_json(value, f"JSON is malformed: invalid character (byte {complaint})")


@given(
    data=st.dictionaries(
        st.sampled_from([*Event.__struct_fields__, "userId", "payload", "data", "schema"]) | st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
            max_leaves=4,
        ),
        max_size=8,
    ),
    kind=st.sampled_from([Event, Item]),
)
def test_explanation_never_fails_and_is_one_short_line(data, kind):
    detail = ""
    try:
        decode(kind, json.dumps(data).encode())
    except Refused as refused:
        detail = refused.detail
    assert len(detail) <= MAX_DETAIL_LENGTH
    assert detail == "" or detail.isprintable()


def required_of(message_type: type[msgspec.Struct]) -> set[str]:
    return {each.name for each in msgspec.structs.fields(message_type) if each.required}
