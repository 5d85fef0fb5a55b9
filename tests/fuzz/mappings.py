"""What the fuzzers try on mappings: records of other topics in every format, and mapping files."""

import msgspec

from schemas.codec import decode_event, decode_item
from schemas.errors import Refused
from schemas.limits import MAX_DETAIL_LENGTH
from schemas.topics import EVENTS
from streams.errors import BadMapping
from streams.mapping.formats import SchemaMissing
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped, Skipped
from streams.registry.protobuf import protobuf_decoder
from tests.schemas.examples import NOW
from tests.streams.mapping.records import Given
from tests.streams.registry.test_protobuf import CLICKS, INDEXES, TEXT, USERS, click, schema
from tests.support.schema_registry import framed

FIELDS = """
user = ["user", "@key"]
item = "lines[-1].id"
kind = { path = "kind", map = { seen = "view" }, other = "rate" }
value = { path = "stars", range = [0, 10] }
ts = { path = "at", unit = "s" }
skip = { path = "bot", values = [true] }
[[items]]
topic = "clicks"
id = "item"
title = { path = "name", cut = true }
attributes = ["lines[*].id", "tags"]
published = { path = "at", unit = "iso" }
withdraw = { path = "gone", missing = false, values = [true] }
"""
HEAD = '[[events]]\ntopic = "clicks"\n'
FILES = (
    HEAD + FIELDS,
    HEAD + 'format = "msgpack"\nkey_format = "json"' + FIELDS,
    HEAD + 'envelope = "debezium"' + FIELDS.replace('topic = "clicks"', 'topic = "clicks"\nenvelope = "connect"'),
    HEAD + 'format = "json-schema"' + FIELDS,
    TEXT,
)
SCHEMAS = {1: protobuf_decoder(schema(CLICKS), [schema(USERS, "users.proto")])}
FUNCTIONS = [function for text in FILES for function in read_mapping(text, SCHEMAS).topics["clicks"]]

ROW = {
    "user": "ann",
    "item": 7,
    "kind": "seen",
    "at": NOW // 1_000,
    "lines": [{"id": 7}],
    "name": "Heat",
    "tags": ["a"],
}
RECORDS = (
    msgspec.json.encode(ROW),
    msgspec.msgpack.encode(ROW),
    msgspec.json.encode({"op": "c", "before": None, "after": ROW}),
    msgspec.json.encode({"schema": None, "payload": {**ROW, "at": "2026-01-01T00:00:00Z"}}),
    framed(1, INDEXES + click(user={"id": 42}, item="heat", at={"seconds": NOW // 1_000})),
)


def record_mapped(value: bytes) -> str:
    """Map a record by each file: what is mapped is accepted by the contract."""
    outcomes = set()
    for function in FUNCTIONS:
        try:
            outcome = function(Given(value, key=value[:20]), NOW)
        except Refused as error:
            outcomes.add("refused" if len(error.detail) <= MAX_DETAIL_LENGTH else "too long")
            continue
        except SchemaMissing:
            outcomes.add("no schema")
            continue
        if isinstance(outcome, Skipped):
            outcomes.add("skipped")
            continue
        assert isinstance(outcome, Mapped)
        outcomes.add("mapped")
        if outcome.topic == EVENTS.name:
            decode_event(outcome.value, key=outcome.key, now_ms=NOW)
        elif outcome.value is not None:
            decode_item(outcome.value, key=outcome.key)
    assert "too long" not in outcomes
    return next(each for each in ("mapped", "skipped", "refused", "no schema") if each in outcomes)


def file_read(value: bytes) -> str:
    """Read a mapping file: a faulty one is refused by a message for its author."""
    try:
        read_mapping(value.decode("utf-8", "replace"), {})
    except BadMapping as error:
        told = str(error)
    else:
        return "read"
    assert "\x1b" not in told
    return "refused"
