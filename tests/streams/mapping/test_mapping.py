"""What a compiled mapping makes of records."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from schemas.errors import Refusal, Refused
from schemas.events import EventKind
from schemas.limits import MAX_ORIGINAL_BYTES
from streams.mapping.events import derived_id
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped, MapRecord, Outcome, Skipped
from tests.streams.mapping.records import EVENTS, NOW_MS, event, given, item, mapped, skipped

BASE = {"userId": "ann", "itemId": 5, "type": "seen", "at": NOW_MS // 1000}
PRODUCTS = '[[items]]\ntopic = "products"\nid = "id"\ntitle = "name"\n'
CAPTURED = PRODUCTS + 'envelope = "debezium"\n'


def base(**more: Any) -> Any:
    return given({**BASE, **more})


def with_kind(kind: str) -> str:
    return re.sub("kind = .*", f"kind = {kind}", EVENTS)


def refusal(text: str, record: Any) -> Refused:
    with pytest.raises(Refused) as error:
        mapped(text, record)
    return error.value


def test_event_has_what_its_paths_find() -> None:
    made = event(EVENTS, base())
    assert (made.user, made.item, made.kind, made.ts) == ("ann", "5", EventKind.VIEW, NOW_MS)
    assert made.id == f"clicks-3-7-{NOW_MS:x}"
    assert made.scene == "default"


def test_every_field_can_be_mapped() -> None:
    more = """
    id = { path = "nested.id", prefix = "shop-" }
    scene = { path = "page", default = "home" }
    value = { path = "stars", range = [0, 10] }
    text = "said"
    target = "old"
    list = "@headers.list"
    """
    record = given({**BASE, "nested": {"id": 9}, "stars": "7", "said": "less horror", "old": "e"},
                   headers=(("list", b"l-1"),))  # fmt: skip
    made = event(EVENTS + more, record)
    assert (made.id, made.scene, made.value, made.text, made.target, made.list) == (
        "shop-9", "home", 3.5, "less horror", "e", "l-1")  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("s", 1_790_000_000),
        ("s", 1_790_000_000.0),
        ("s", "1790000000"),
        ("ms", 1_790_000_000_000),
        ("us", 1_790_000_000_000_000),
        ("ns", 1_790_000_000_000_000_000),
        ("iso", "2026-09-21T14:13:20Z"),
        ("iso", "2026-09-21T16:13:20.000+02:00"),
        ("iso", "2026-09-21 14:13:20"),
    ],
)
def test_times_of_every_unit_are_the_same(unit: str, found: Any) -> None:
    assert event(EVENTS.replace('"s"', f'"{unit}"'), base(at=found)).ts == 1_790_000_000_000


def test_days_are_midnights() -> None:
    assert event(EVENTS.replace('"s"', '"d"'), base(at=20_000)).ts == 20_000 * 86_400_000


def test_time_of_the_record_is_the_default() -> None:
    assert event(re.sub("ts = .*", "", EVENTS), base()).ts == NOW_MS


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        (EVENTS, {"userId": None}, "`user`: nothing - at `userId`"),
        (EVENTS, {"userId": {"a": 1}}, "`user`: an identifier is text or a whole number, not an object - at `userId`"),
        (EVENTS, {"userId": 1.5}, "`user`: an identifier is text or a whole number, not a fraction - at `userId`"),
        (EVENTS, {"userId": True}, "not true or false - at `userId`"),
        (EVENTS, {"userId": ""}, "`user`: Expected `str` of length >= 1 - at `userId`"),
        (EVENTS, {"itemId": None}, "`item`: a view event needs an item - at `itemId`"),
        (EVENTS, {"type": "sold"}, "`kind`: a kind without a meaning: add it to `map`, or set `other` - at `type`"),
        (EVENTS, {"type": [1]}, "`kind`: a kind is text, a whole number, or true or false, not a list - at `type`"),
        (EVENTS, {"at": NOW_MS}, '`ts`: read as s, it is outside the accepted times; set unit = "ms" - at `at`'),
        (EVENTS.replace('"s"', '"ms"'), {}, 'read as ms, it is outside the accepted times; set unit = "s" - at `at`'),
        (EVENTS, {"at": "2026-01-01"}, '`ts`: a time as text: set unit = "iso" if it is one in ISO 8601 - at `at`'),
        (EVENTS, {"at": 10**40}, "`ts`: out of bounds - at `at`"),
        (EVENTS, {"at": None}, "`ts`: nothing - at `at`"),
        (EVENTS.replace('"s"', '"iso"'), {}, "`ts`: a time as a number: set its unit"),
        (EVENTS.replace('"s"', '"iso"'), {"at": "yesterday"}, "`ts`: a time that is not in ISO 8601 - at `at`"),
        (EVENTS, {"at": -5}, "at `at`"),
        (EVENTS, {"userId": "a\x00"}, "`user`: a control character - at `userId`"),
    ],
)
def test_record_that_does_not_fit_is_refused_with_its_path(text: str, more: dict[str, Any], says: str) -> None:
    error = refusal(text, base(**more))
    assert error.code in (Refusal.INVALID, Refusal.FUTURE)
    assert says in error.detail
    assert len(error.detail) <= 200


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (b"", Refusal.MALFORMED, "not JSON: found empty"),
        (b"[1]", Refusal.INVALID, "the value is no object"),
        (b"{", Refusal.MALFORMED, "not JSON: found truncated"),
        (b"\x00\x00\x00\x00\x07{}", Refusal.MALFORMED, 'set format = "json-schema"'),
        (b'{"a":' * 100_000, Refusal.MALFORMED, "nested too deeply"),
        (b" " * (MAX_ORIGINAL_BYTES + 1), Refusal.TOO_LARGE, "bytes; at most"),
    ],
)
def test_value_that_cannot_be_decoded_is_refused(value: bytes, code: Refusal, says: str) -> None:
    error = refusal(EVENTS, given(value))
    assert (error.code, says in error.detail) == (code, True), error


def test_messagepack_is_decoded() -> None:
    assert event(EVENTS + 'format = "msgpack"', given(msgspec.msgpack.encode(BASE))).user == "ann"
    assert refusal(EVENTS + 'format = "msgpack"', given(b"\xc1")).code is Refusal.MALFORMED


def test_json_behind_a_schema_prefix_is_decoded() -> None:
    value = b"\x00\x00\x00\x00\x07" + msgspec.json.encode(BASE)
    assert event(EVENTS + 'format = "json-schema"', given(value)).user == "ann"


def test_kinds_without_a_map_are_those_of_the_contract_but_not_erasure() -> None:
    text = with_kind('"type"')
    assert event(text, base(type="cart")).kind is EventKind.CART
    assert "without a meaning" in refusal(text, base(type="erase")).detail
    assert event(with_kind('{ path = "type", map = { gone = "erase" } }'), base(type="gone")).kind is EventKind.ERASE


def test_kinds_are_mapped_by_numbers_and_topics_too() -> None:
    assert event(with_kind('{ path = "type", map = { 1 = "click" } }'), base(type=1)).kind is EventKind.CLICK
    assert event(with_kind('{ path = "@topic", map = { clicks = "click" } }'), base()).kind is EventKind.CLICK
    assert event(with_kind('{ value = "like" }'), base()).kind is EventKind.LIKE


def test_unknown_kind_is_skipped_or_another_if_the_file_says_so() -> None:
    assert skipped(EVENTS, base(type="ping")) == "kind"
    assert skipped(with_kind('{ path = "type", map = { a = "view" }, other = "skip" }'), base()) == "kind"
    assert event(with_kind('{ path = "type", map = { a = "view" }, other = "click" }'), base()).kind is EventKind.CLICK
    assert event(with_kind('{ path = "nothing", default = "click" }'), base()).kind is EventKind.CLICK


@pytest.mark.parametrize(("stars", "kind"), [(5, "like"), (4, "like"), (3.5, "view"), (2, "dislike"), ("1", "dislike")])
def test_rating_becomes_a_kind_by_thresholds(stars: Any, kind: str) -> None:
    text = with_kind('{ path = "stars", like_from = 4, dislike_to = 2, other = "view" }')
    assert event(text, base(stars=stars)).kind.value == kind


def test_rating_between_the_thresholds_is_skipped_or_refused() -> None:
    text = with_kind('{ path = "stars", like_from = 4, dislike_to = 2 }')
    assert "set `other`" in refusal(text, base(stars=3)).detail
    assert skipped(text.replace("2 }", '2, other = "skip" }'), base(stars=3)) == "kind"


def test_rating_keeps_its_place_in_its_range() -> None:
    text = with_kind('{ value = "rate" }') + "value = { path = 'stars', range = [1, 10] }"
    assert [event(text, base(stars=stars)).value for stars in (1, 5.5, 10)] == [0.0, 2.5, 5.0]
    assert "a rating outside its range, 1 to 10 - at `stars`" in refusal(text, base(stars=11)).detail
    assert "a rate event needs a value from 0 to 5" in refusal(text, base()).detail


def test_rules_skip_records_by_value_type_and_absence() -> None:
    rules = 'skip = [{ path = "bot", values = [true, "yes"] }, { path = "itemId", missing = true }]'
    assert skipped(EVENTS + rules, base(bot=True)) == "rule"
    assert skipped(EVENTS + rules, base(bot="yes")) == "rule"
    assert skipped(EVENTS + rules, base(itemId=None)) == "rule"
    assert event(EVENTS + rules, base(bot=1)).user == "ann"
    assert event(EVENTS + rules, base(bot=["yes"])).user == "ann"


def test_null_value_of_an_event_is_skipped() -> None:
    assert skipped(EVENTS, given(None)) == "tombstone"


def test_key_can_be_text_or_decoded() -> None:
    assert event(EVENTS.replace('"userId"', '"@key"'), given(BASE, key=b"bob")).user == "bob"
    keyed = EVENTS.replace('"userId"', '"@key.id"') + 'key_format = "json"'
    assert event(keyed, given(BASE, key=b'{"id":3}')).user == "3"
    assert "nothing - at `@key`" in refusal(EVENTS.replace('"userId"', '"@key"'), given(BASE)).detail
    assert "set key_format" in refusal(EVENTS.replace('"userId"', '"@key"'), given(BASE, key=b"\xff")).detail


def test_derived_ids_name_the_place_of_the_record() -> None:
    assert derived_id(given({}, "t", partition=1, offset=2, timestamp=255)) == "t-1-2-ff"
    long = [derived_id(given({}, "t" * 248 + end, partition=2**31 - 1, offset=2**63 - 1)) for end in "ab"]
    assert long[0] != long[1]
    assert all(len(each) <= 128 for each in long)
    assert derived_id(given({}, timestamp=-1)) == "clicks-3-7-0"


def test_debezium_rows_are_events_by_operation() -> None:
    text = EVENTS + 'envelope = "debezium"\nscene = "@envelope.source.table"'

    def row(op: str, **more: Any) -> Any:
        return given({"op": op, "before": None, "after": BASE, "source": {"table": "orders"}, **more})

    assert event(text, row("c")).scene == "orders"
    assert event(text, row("r")).user == "ann"
    assert [skipped(text, row(op)) for op in "udtm"] == ["operation"] * 4
    assert event(text + '\noperations = ["u"]', row("u")).user == "ann"
    assert event(text, given({"schema": {}, "payload": {"op": "c", "after": BASE}})).scene == "default"
    assert "an operation that is none of" in refusal(text, row("x")).detail
    assert "no envelope of Debezium: no `op`" in refusal(text, base()).detail
    assert "the envelope holds no object" in refusal(text, row("c", after=None)).detail


def test_connect_payload_is_the_data() -> None:
    text = EVENTS + 'envelope = "connect"'
    assert event(text, given({"schema": None, "payload": BASE})).user == "ann"
    assert skipped(text, given({"schema": None, "payload": None})) == "tombstone"
    assert "no envelope of Kafka Connect" in refusal(text, base()).detail
    films = PRODUCTS + 'envelope = "connect"\n'
    null = given({"schema": None, "payload": None}, "products", key=b"7")
    assert "set `tombstone_id`" in refusal(films, null).detail
    assert mapped(films + 'tombstone_id = "@key"', null) == Mapped("ouzel.items", b"7", None)


def test_item_has_what_its_paths_find() -> None:
    more = """
    text = "about.long"
    attributes = { path = ["brand", "genres[*].name", "tags"], split = "|" }
    published = { path = "out", unit = "iso" }
    image = "vector"
    """
    row = {"id": 7, "name": "Fargo", "about": {"long": "Snow."}, "brand": "PolyGram", "tags": "a|b| a",
           "genres": [{"name": "crime"}, {"x": 1}], "out": "1996-03-08", "vector": [0.5, 1]}  # fmt: skip
    made = item(PRODUCTS + more, given(row, "products"))
    assert (made.id, made.title, made.text) == ("7", "Fargo", "Snow.")
    assert made.attributes == ("PolyGram", "crime", "a", "b")
    assert made.published == 826_243_200_000
    assert made.image == (0.5, 1.0)


def test_long_texts_are_cut_only_if_the_file_says_so() -> None:
    long = {"id": 1, "name": "t" * 301, "tags": ["x" * 65, *map(str, range(40))]}
    assert "`title`: Expected `str` of length <= 300 - at `name`" in refusal(PRODUCTS, given(long, "products")).detail
    cut = PRODUCTS.replace('"name"', '{ path = "name", cut = true }') + 'attributes = { path = "tags", cut = true }'
    made = item(cut, given(long, "products"))
    assert (len(made.title), len(made.attributes), len(made.attributes[0])) == (300, 32, 64)


def test_null_value_withdraws_the_item_that_the_key_names() -> None:
    by_key = PRODUCTS.replace('"id"\ntitle', '"@key"\ntitle')
    assert mapped(by_key, given(None, "products", key=b"7")) == Mapped("ouzel.items", b"7", None)
    apart = PRODUCTS + 'tombstone_id = "@key.id"\nkey_format = "json"'
    assert mapped(apart, given(None, "products", key=b'{"id":7}')) == Mapped("ouzel.items", b"7", None)
    error = refusal(PRODUCTS, given(None, "products", key=b"7"))
    assert (error.code, "set `tombstone_id`" in error.detail) == (Refusal.EMPTY, True)
    assert "no id of the item to withdraw - at `@key`" in refusal(by_key, given(None, "products")).detail


def test_debezium_deletion_withdraws_the_item_and_its_tombstone_is_skipped() -> None:
    withdrawal = Mapped("ouzel.items", b"7", None)
    assert mapped(CAPTURED, given({"op": "d", "before": {"id": 7}, "after": None}, "products")) == withdrawal
    assert skipped(CAPTURED, given(None, "products", key=b'{"id":7}')) == "tombstone"
    keyed = CAPTURED + 'tombstone_id = "@key.id"\nkey_format = "json"'
    key = b'{"schema":{},"payload":{"id":7}}'
    assert mapped(keyed, given({"op": "d", "before": None}, "products", key=key)) == withdrawal
    assert "no id of the item to withdraw" in refusal(CAPTURED, given({"op": "d", "before": None}, "products")).detail
    assert "the table was truncated" in refusal(CAPTURED, given({"op": "t"}, "products")).detail
    assert skipped(CAPTURED, given({"op": "m"}, "products")) == "operation"
    assert item(CAPTURED, given({"op": "u", "after": {"id": 7, "name": "New"}}, "products")).title == "New"


def test_item_is_withdrawn_by_a_rule() -> None:
    text = PRODUCTS + 'withdraw = { path = "status", values = ["gone"] }'
    assert mapped(text, given({"id": 7, "status": "gone"}, "products")) == Mapped("ouzel.items", b"7", None)
    assert item(text, given({"id": 7, "name": "A", "status": "there"}, "products")).title == "A"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("userId", "itemId", "type", "at", "op", "before", "after", "payload", "schema", "id", "name", "tags", "stars")
WIDE = """
[[events]]
topic = "wide"
envelope = "ENVELOPE"
user = ["userId", "@key"]
item = { path = "itemId", prefix = "i" }
kind = { path = "type", map = { seen = "view", rated = "rate" }, other = "skip" }
ts = { path = "at", unit = "UNIT" }
value = { path = "stars", range = [-1, 1] }
skip = { path = "tags[0]", values = [1, "x"] }
[[items]]
topic = "wide"
id = "id"
title = { path = "name", cut = true }
attributes = { path = ["tags[*]", "tags[*].name"], split = "," }
image = "stars"
published = { path = "at", unit = "UNIT" }
withdraw = { path = "op", values = ["d"] }
tombstone_id = "@key"
"""


def told(function: MapRecord, record: Any) -> Outcome | str:
    """The outcome, or the detail of the refusal: nothing else is raised."""
    try:
        return function(record, NOW_MS)
    except Refused as error:
        return error.detail


@drawn(
    value=JSON | st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(["seen", "rated", "c", "d", BASE])),
    key=st.none() | st.binary(max_size=5),
    envelope=st.sampled_from(["", "connect", "debezium"]),
    unit=st.sampled_from(["s", "ns", "d", "iso"]),
    packed=st.booleans(),
)
def test_any_value_is_mapped_skipped_or_refused(value: Any, key: Any, envelope: str, unit: str, packed: bool) -> None:
    text = WIDE.replace("UNIT", unit)
    text = text.replace("ENVELOPE", envelope) if envelope else text.replace('envelope = "ENVELOPE"\n', "")
    try:
        raw = msgspec.msgpack.encode(value) if packed else msgspec.json.encode(value)
    except OverflowError:
        return
    if packed:
        text = text.replace('topic = "wide"', 'topic = "wide"\nformat = "msgpack"')
    record = given(raw, "wide", key=key)
    for function in read_mapping(text, {}).topics["wide"]:
        outcomes = [told(function, record) for _ in range(2)]
        assert outcomes[0] == outcomes[1], "the same record, read again, must give the same"
        assert isinstance(outcomes[0], Mapped | Skipped) or len(outcomes[0]) <= 200


@drawn(st.binary(max_size=60) | st.binary(max_size=20).map(lambda tail: b"\x00\x00\x00\x00\x01" + tail))
def test_any_bytes_are_mapped_skipped_or_refused(raw: bytes) -> None:
    for form in ("json", "msgpack", "json-schema"):
        for record in (given(raw), given(BASE, key=raw)):
            text = EVENTS.replace('"userId"', '["@key", "userId"]') + f'format = "{form}"\nkey_format = "{form}"'
            (function,) = read_mapping(text, {}).topics["clicks"]
            assert told(function, record)
