"""Messages survive a round trip through any encoder; unusable bytes are refused with a code."""

import json
import sys
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, topics
from schemas.codec import decode_event, decode_item, decode_order, encode
from schemas.errors import Refusal, Refused
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.limits import MAX_CLOCK_SKEW_MS, OLDEST_EVENT_MS
from schemas.privacy import ErasureOrder
from tests.schemas.examples import EXAMPLES, NOW
from tests.schemas.strategies import PRINTED_TEXT, messages

LIKE = {"v": 1, "id": "e1", "user": "ann", "kind": "like", "ts": NOW, "item": "alien"}
TYPES = [topic.value for topic in topics.ALL if topic.value is not None]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(value: bytes | None, key: bytes | None = b"ann", now_ms: int = NOW) -> Refused:
    with pytest.raises(Refused) as refused:
        decode_event(value, key=key, now_ms=now_ms)
    return refused.value


@pytest.mark.parametrize("message_type", TYPES, ids=lambda one: one.__name__)
@given(data=st.data())
def test_messages_survive_a_round_trip(message_type, data):
    message = data.draw(messages(message_type))
    assert codec.decode(message_type, encode(message)) == message


@pytest.mark.parametrize("message_type", TYPES, ids=lambda one: one.__name__)
@given(data=st.data())
def test_messages_survive_a_round_trip_through_json(message_type, data):
    message = data.draw(messages(message_type))
    assert codec.decode(message_type, msgspec.json.encode(message)) == message


@pytest.mark.parametrize("name", EXAMPLES)
def test_value_is_a_plain_map_with_its_version(name):
    plain = msgpack.unpackb(encode(EXAMPLES[name]), strict_map_key=False)
    assert plain["v"] == 1
    assert set(plain) - {"v"} <= set(EXAMPLES[name].__struct_fields__)


@given(event=messages(Event, PRINTED_TEXT))
def test_event_from_another_encoder_decodes_the_same(event):
    plain = {"v": 1} | {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None}
    plain["kind"] = event.kind.value
    for value in (msgpack.packb(plain), as_json(plain), json.dumps(plain, ensure_ascii=False).encode()):
        assert codec.decode(Event, value) == event


@pytest.mark.parametrize("dump", [msgpack.packb, as_json])
def test_event_with_its_user_as_key_is_accepted(dump):
    event = decode_event(dump(LIKE), key=b"ann", now_ms=NOW)
    assert event == Event(id="e1", user="ann", kind=EventKind.LIKE, ts=NOW, item="alien")


@pytest.mark.parametrize(
    "value",
    [
        b"\n\t " + as_json(LIKE) + b"\r\n",
        as_json({name: LIKE[name] for name in LIKE if name != "v"}),
        msgpack.packb({name: LIKE[name] for name in reversed(LIKE)}),
        as_json(LIKE | {"unknown": {"nested": [1, None, {"deep": "x"}]}}),
        msgpack.packb(LIKE | {"unknown": [b"bytes", 1.5, msgpack.ExtType(5, b"x"), 2**63]}),
        as_json({"user": "bob"})[:-1] + b"," + as_json(LIKE)[1:],
    ],
    ids=["white space", "no version", "any order", "unknown JSON", "unknown MessagePack", "a key twice"],
)
def test_event_decodes_despite_harmless_differences(value):
    assert decode_event(value, key=b"ann", now_ms=NOW).item == "alien"


@pytest.mark.parametrize(
    ("value", "code", "detail"),
    [
        (None, Refusal.EMPTY, "no value"),
        (b"", Refusal.EMPTY, "no value"),
        (b"garbage", Refusal.MALFORMED, "neither"),
        (b"\x00\x01\x02", Refusal.MALFORMED, "neither"),
        (b"\xef\xbb\xbf{}", Refusal.MALFORMED, "neither"),
        (msgpack.packb(["ann"]), Refusal.MALFORMED, "neither"),
        (msgpack.packb("ann"), Refusal.MALFORMED, "neither"),
        (b'["ann"]', Refusal.MALFORMED, "neither"),
        (b"{", Refusal.MALFORMED, "truncated"),
        (b"  ", Refusal.MALFORMED, "white space"),
        (msgpack.packb(LIKE)[:-1], Refusal.MALFORMED, "truncated"),
        (msgpack.packb(LIKE) + b"\x00", Refusal.MALFORMED, "trailing"),
        (as_json(LIKE) + b"{}", Refusal.MALFORMED, "trailing"),
        (b"\xdf\xff\xff\xff\xff", Refusal.MALFORMED, "truncated"),
        (msgpack.packb(LIKE | {"z": 0})[:-1] + b"\xdd\xff\xff\xff\xff", Refusal.MALFORMED, "truncated"),
        (b"\x81\xa4user\xa1\xff", Refusal.MALFORMED, "UTF-8"),
        (b"\x81\xa4user\xa3\xed\xa0\x80", Refusal.MALFORMED, "UTF-8"),
        (b'{"user":"\xff"}', Refusal.MALFORMED, "UTF-8"),
        (b'{"user":"\\ud800"}', Refusal.MALFORMED, ""),
        (b'{"value":NaN}', Refusal.MALFORMED, ""),
        (b'{"value":1e999}', Refusal.INVALID, "out of range"),
        (msgpack.packb({1: 2}), Refusal.INVALID, "key"),
        (msgpack.packb(LIKE | {"kind": "ann@example.org - at `home`"}), Refusal.INVALID, "forget, erase - at `$.kind`"),
    ],
    ids=lambda part: repr(part)[:32],
)
def test_unusable_bytes_are_refused(value, code, detail):
    refused = refusal(value)
    assert refused.code is code
    assert detail in refused.detail
    assert "ann" not in refused.detail


@pytest.mark.parametrize(
    "value",
    [b"\x81\xa1z" + b"\x91" * 60_000 + b"\xc0", b'{"z":' + b"[" * 30_000 + b"]" * 30_000 + b"}"],
    ids=["MessagePack", "JSON"],
)
def test_deeply_nested_value_is_refused(value):
    """How deep is too deep depends on Python: from 3.14 on, on the room that the stack has left."""
    refused = refusal(value)
    assert (refused.code is Refusal.MALFORMED and "deep" in refused.detail) or (
        sys.version_info >= (3, 14) and refused.code is Refusal.INVALID and "`id`" in refused.detail
    )


@pytest.mark.parametrize("key", [None, b""])
def test_record_without_a_key_is_refused_with_the_remedy(key):
    refused = refusal(msgpack.packb(LIKE), key=key)
    assert refused.code is Refusal.KEY_MISMATCH
    assert "kcat" in refused.detail


@pytest.mark.parametrize("key", [b"bob", b"ann ", b"Ann", b"\xff", b'"ann"'])
def test_event_with_another_user_as_key_is_refused(key):
    assert refusal(msgpack.packb(LIKE), key=key).code is Refusal.KEY_MISMATCH


def test_key_is_compared_in_utf8():
    value = as_json(LIKE | {"user": "Zoë"})
    assert decode_event(value, key="Zoë".encode(), now_ms=NOW).user == "Zoë"
    assert refusal(value, key="Zoë".encode("latin-1")).code is Refusal.KEY_MISMATCH


def test_event_may_be_ahead_of_the_clock_within_the_skew():
    value = msgpack.packb(LIKE)
    assert decode_event(value, key=b"ann", now_ms=NOW - MAX_CLOCK_SKEW_MS).ts == NOW
    assert refusal(value, now_ms=NOW - MAX_CLOCK_SKEW_MS - 1).code is Refusal.FUTURE


def test_event_from_before_1980_is_refused_by_default():
    for ts in (0, OLDEST_EVENT_MS - 1):
        value = msgpack.packb(LIKE | {"ts": ts})
        assert "OUZEL_OLDEST_EVENT" in refusal(value).detail
        assert decode_event(value, key=b"ann", now_ms=NOW, accepted_from_ms=0).ts == ts
    assert decode_event(msgpack.packb(LIKE | {"ts": OLDEST_EVENT_MS}), key=b"ann", now_ms=NOW).ts == OLDEST_EVENT_MS


@pytest.mark.parametrize(
    ("ts", "code", "unit"),
    [
        (NOW // 1_000, Refusal.INVALID, "seconds"),
        (NOW / 1_000, Refusal.INVALID, "seconds"),
        (NOW * 1_000, Refusal.FUTURE, "microseconds"),
        (NOW * 1_000_000, Refusal.INVALID, "nanoseconds"),
        (NOW * 10_000 + 621_355_968_000_000_000, Refusal.INVALID, ".NET ticks"),
    ],
)
def test_timestamp_in_another_unit_is_refused_with_its_name(ts, code, unit):
    for dump in (msgpack.packb, as_json):
        refused = refusal(dump(LIKE | {"ts": ts}))
        assert refused.code is code
        assert f"looks like {unit}; send milliseconds" in refused.detail


def test_erasure_is_accepted_with_any_timestamp():
    for ts in (0, 2**53):
        assert decode_event(as_json(LIKE | {"kind": "erase", "ts": ts}), key=b"ann", now_ms=NOW).ts == ts


def test_item_may_be_older_than_1970_but_not_in_seconds():
    film = {"id": "m", "title": "M"}
    for published in (-1_222_300_800_000, 0, 2_678_400_000, NOW):  # 1931, 1970, 1970-02-01, now
        assert decode_item(as_json(film | {"published": published}), key=b"m").published == published
    for published, unit in ((NOW // 1_000 + 1, "seconds"), (NOW * 1_000, "microseconds")):
        with pytest.raises(Refused, match=f"looks like {unit}; send milliseconds") as refused:
            decode_item(as_json(film | {"published": published}), key=b"m")
        assert refused.value.code is Refusal.INVALID


NEEDS = {
    EventKind.STEER: {"text"},
    EventKind.FORGET: {"target"},
    EventKind.RATE: {"item", "value"},
    EventKind.ERASE: set(),
}


@pytest.mark.parametrize("kind", EventKind)
@given(given_fields=st.sets(st.sampled_from(["item", "value", "text", "target"])))
def test_event_requires_the_fields_of_its_kind(kind, given_fields):
    fields = {"item": "alien", "value": 4, "text": "less horror", "target": "e0"}
    value = msgpack.packb(
        {"id": "e1", "user": "ann", "kind": kind.value, "ts": NOW} | {name: fields[name] for name in given_fields}
    )
    if given_fields >= NEEDS.get(kind, {"item"}):
        assert decode_event(value, key=b"ann", now_ms=NOW).kind is kind
    else:
        refused = refusal(value)
        assert refused.code is Refusal.INVALID
        assert refused.detail.rpartition("$.")[2].rstrip("`") in NEEDS.get(kind, {"item"}) - given_fields


@pytest.mark.parametrize("control", ["\x00", "\n", "\x1b", "\x7f", "\x9b"])
@pytest.mark.parametrize("field", ["id", "user", "item", "scene", "list", "text", "target"])
def test_control_characters_are_refused_in_events(field, control):
    kind = {"text": "steer", "target": "forget"}.get(field, "like")
    event: dict[str, Any] = LIKE | {"kind": kind, "scene": "home", "list": "l1", "text": "t", "target": "e0"}
    event[field] += control
    refused = refusal(msgpack.packb(event), key=event["user"].encode())
    assert refused.code is Refusal.INVALID
    assert "control" in refused.detail


@given(user=st.text(PRINTED_TEXT, min_size=1, max_size=128), item=st.text(PRINTED_TEXT, min_size=1, max_size=128))
def test_identifiers_may_hold_any_other_character(user, item):
    event = decode_event(as_json(LIKE | {"user": user, "item": item}), key=user.encode(), now_ms=NOW)
    assert (event.user, event.item) == (user, item)


def test_item_is_keyed_by_its_id():
    value = as_json({"id": "alien", "title": "Alien", "text": "One line.\r\n\tAnother."})
    assert decode_item(value, key=b"alien") == Item(id="alien", title="Alien", text="One line.\r\n\tAnother.")
    for key in (b"brazil", None):
        with pytest.raises(Refused, match="key"):
            decode_item(value, key=key)


def test_null_item_is_refused_as_empty():
    with pytest.raises(Refused, match="empty"):
        decode_item(None, key=b"alien")


@pytest.mark.parametrize(
    "wrong", [{"id": "a\x00"}, {"title": "\x1b[2J"}, {"text": "\x1b[2J"}, {"attributes": ["a\nb"]}], ids=repr
)
def test_control_characters_are_refused_in_items(wrong):
    item = {"id": "alien", "title": "Alien"} | wrong
    with pytest.raises(Refused, match="control"):
        decode_item(msgpack.packb(item), key=item["id"].encode())


def test_erasure_order_is_keyed_by_its_user():
    order = ErasureOrder(id="o1", user="ann", ts=NOW)
    assert decode_order(encode(order), key=b"ann") == order
    with pytest.raises(Refused, match="key"):
        decode_order(encode(order), key=b"bob")
    with pytest.raises(Refused, match="control"):
        decode_order(encode(ErasureOrder(id="o\n", user="ann", ts=NOW)), key=b"ann")
