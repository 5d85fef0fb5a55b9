"""Recommendation lists, written for services that read no MessagePack."""

from typing import Any

import msgspec
import pytest

from schemas.codec import encode
from schemas.errors import Refused
from schemas.recommendations import Entry, Reason, Recommendation, Wished
from schemas.topics import RECOMMENDATIONS
from streams.errors import BadMapping
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped, Skipped
from tests.streams.mapping.records import EVENTS, NOW_MS, given

HEAD = '[[lists]]\ntopic = "out"\n'


def entry(item: str, score: float, **more: Any) -> Entry:
    reason = Reason(code="fresh", text=f"because {item}", because=("a", "b"))
    return Entry(item=item, score=score, behavioural=0.5, propensity=1.0, sources=("fresh",), reason=reason, **more)


LIST = Recommendation(
    id="l-1", user="ann", scene="home", ts=1_790_000_000_123, trigger="e", partition=0, offset=1, freshness_ms=1.0,
    took_ms=2.0, entries=(entry("x", 2.0, contributions={"fresh": 0.25}), entry("y", 1.0)),
    wishes=(Wished(text="less horror", until=5),),
)  # fmt: skip


def written(fields: str, made: Recommendation = LIST, more: str = "") -> Any:
    (function,) = read_mapping(f"{HEAD}{more}\nfields = {fields}", {}).topics[RECOMMENDATIONS.name]
    outcome = function(given(encode(made), RECOMMENDATIONS.name, key=b"ann"), NOW_MS)
    if isinstance(outcome, Skipped):
        return outcome
    assert isinstance(outcome, Mapped)
    assert (outcome.topic, outcome.key) == ("out", b"ann")
    assert outcome.value is not None
    return msgspec.json.decode(outcome.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('{ userId = "user", list = "id" }', {"userId": "ann", "list": "l-1"}),
        ('{ items = "entries[*].item", best = "entries[0].item" }', {"items": ["x", "y"], "best": "x"}),
        ('{ at = { path = "ts", unit = "s" } }', {"at": 1_790_000_000}),
        ('{ at = { path = "ts", unit = "us" } }', {"at": 1_790_000_000_123_000}),
        ('{ at = { path = "ts", unit = "iso" } }', {"at": "2026-09-21T14:13:20.123Z"}),
        ('{ a = "degraded", b = { path = "degraded", default = "no" }, c = { value = 7 } }', {"b": "no", "c": 7}),
        (
            '{ films = { each = "entries", fields = { sku = "item", why = "reason.text", '
            'f = "contributions.fresh" } } }',
            {"films": [{"sku": "x", "why": "because x", "f": 0.25}, {"sku": "y", "why": "because y"}]},
        ),
        ('{ user = { fields = { id = "user", wishes = "wishes[*].text" } } }',
         {"user": {"id": "ann", "wishes": ["less horror"]}}),
        ('{ w = { each = "wishes", fields = { t = "text" } }, n = "entries[5].item" }', {"w": [{"t": "less horror"}]}),
        ('{ all = "entries[1].reason" }', {"all": {"code": "fresh", "text": "because y", "because": ["a", "b"]}}),
    ],
)  # fmt: skip
def test_list_is_written_with_the_fields_of_the_file(fields: str, expected: Any) -> None:
    assert written(fields) == expected


def test_empty_list_is_written() -> None:
    made = msgspec.structs.replace(LIST, entries=(), wishes=())
    assert written('{ films = { each = "entries", fields = { sku = "item" } }, w = "wishes" }', made) == {"films": []}


def test_lists_are_skipped_by_rules() -> None:
    rule = 'skip = { path = "scene", values = ["home"] }'
    assert written('{ a = "id" }', more=rule) == Skipped("rule")
    assert written('{ a = "id" }', msgspec.structs.replace(LIST, scene="cart"), rule) == {"a": "l-1"}


def test_record_that_is_no_list_is_refused() -> None:
    (function,) = read_mapping(HEAD + 'fields = { a = "id" }', {}).topics[RECOMMENDATIONS.name]
    with pytest.raises(Refused):
        function(given({"id": 1}, RECOMMENDATIONS.name), NOW_MS)
    assert function(given(None, RECOMMENDATIONS.name), NOW_MS) == Skipped("tombstone")
    far = read_mapping(HEAD + 'fields = { a = { path = "ts", unit = "iso" } }', {}).topics[RECOMMENDATIONS.name][0]
    with pytest.raises(Refused, match="a time out of bounds"):
        far(given(encode(msgspec.structs.replace(LIST, ts=2**53)), RECOMMENDATIONS.name), NOW_MS)


def test_file_may_have_lists_beside_events() -> None:
    found = read_mapping(
        EVENTS + HEAD + 'fields = { a = "id" }\n' + HEAD.replace("out", "more") + 'fields = { b = "id" }', {}
    )
    assert found.lists == ("out", "more")
    assert found.targets == ("ouzel.events",)
    assert len(found.topics[RECOMMENDATIONS.name]) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD, "`lists[0]` has no `fields`"),
        (HEAD + "fields = {}", "`lists[0].fields`: 1 to 100 fields are needed"),
        ('[[lists]]\nfields = { a = "id" }', "`lists[0].topic`: the name of one topic is needed"),
        (HEAD.replace("out", "ouzel.events") + 'fields = { a = "id" }', "ouzel.events is a topic of Ouzel"),
        (HEAD.replace("out", "clicks") + 'fields = { a = "id" }' + EVENTS, "clicks is in another table"),
        (HEAD + 'fields = { a = "userid" }', "`lists[0].fields.a.path`: a list has no 'userid': there are id, user"),
        (HEAD + 'fields = { a = "entries[*].itm" }', "there are item, score, behavioural"),
        (HEAD + 'fields = { a = "entries.item" }', "a list has no 'entries.item'"),
        (HEAD + 'fields = { a = "user[0]" }', "a list has no 'user[0]'"),
        (HEAD + 'fields = { a = "@key" }', "'@key' is no field of a list"),
        (HEAD + "fields = { a = {} }", "`lists[0].fields.a` needs `path`, `value` or `fields`."),
        (HEAD + 'fields = { a = { each = "user", fields = { b = "id" } } }', "'user' is no list"),
        (HEAD + 'fields = { a = { path = "ts", unit = "h" } }', "it takes s, ms, us, ns, d, iso, not 'h'"),
        (HEAD + 'format = "avro"\nfields = { a = "id" }', "unknown key `lists[0].format`"),
        (HEAD + 'skip = { path = "@key", values = [1] }\nfields = { a = "id" }', "its paths are fields of a list"),
        (HEAD + "fields = " + "{ a = { fields = " * 5 + '{ b = "id" }' + " } }" * 5, "at most 4 deep"),
    ],
)
def test_fault_is_named(text: str, says: str) -> None:
    with pytest.raises(BadMapping) as error:
        read_mapping(text, {})
    assert says in str(error.value)
