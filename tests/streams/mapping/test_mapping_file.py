"""A mapping file is read strictly: each fault is named by its key, with what is known there."""

import re

import pytest

from streams.errors import BadMapping
from streams.mapping.mapping import MAX_BYTES, read_mapping
from tests.streams.mapping.records import EVENTS

ITEMS = '[[items]]\ntopic = "products"\nid = "id"\ntitle = "name"\n'


def refusal(text: str) -> str:
    with pytest.raises(BadMapping) as error:
        read_mapping(text, {})
    return str(error.value)


def test_topics_and_targets_are_those_of_the_file() -> None:
    found = read_mapping(EVENTS + ITEMS.replace('"products"', '["products", "clicks"]'), {})
    assert {name: len(made) for name, made in found.topics.items()} == {"clicks": 2, "products": 1}
    assert found.targets == ("ouzel.events", "ouzel.items")
    assert not found.formats
    assert read_mapping(ITEMS + 'format = "avro"\nkey_format = "json"\n', {}).formats == {"avro"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file maps nothing"),
        ("a = [", "the file is not TOML"),
        ("event = []", "unknown key `event`; did you mean `events`? Known here: events, items, lists."),
        ("events = 1", "`events` is written as [[events]]"),
        ("events = [1]", "`events[0]` is 1, but a table is needed."),
        (EVENTS + 'userid = "x"', "unknown key `events[0].userid`; did you mean `user`?"),
        (EVENTS.replace('topic = "clicks"', ""), "`events[0]` has no `topic`"),
        (EVENTS.replace('"clicks"', '"a b"'), "`events[0].topic`: 'a b' is no name of a topic."),
        (EVENTS.replace('"clicks"', '"ouzel.events"'), "ouzel.events is a topic of Ouzel"),
        (EVENTS.replace('"clicks"', "[]"), "`events[0].topic`: text, or a list of texts"),
        (EVENTS + EVENTS, "`events[1].topic`: clicks is in two [[events]] tables"),
        (EVENTS.replace('user = "userId"', ""), "`events[0]` has no `user`: say where it is"),
        (EVENTS.replace('item = "itemId"', ""), "`events[0]` has no `item`"),
        (EVENTS.replace('"userId"', "7"), "`events[0].user.path`: text, or a list of texts, is needed, not 7."),
        (EVENTS.replace('"userId"', '"a[*]"'), "has [*], which only attributes take"),
        (EVENTS.replace('"userId"', '"a..b"'), "the path 'a..b' is wrong: it cannot be read at character 2"),
        (EVENTS.replace('"userId"', '{ paths = "a" }'), "unknown key `events[0].user.paths`; did you mean `path`?"),
        (EVENTS.replace('"userId"', "{ }"), "`events[0].user` takes either `path`"),
        (EVENTS.replace('"userId"', '"@key.id"'), "the path @key.id is inside the key: set key_format"),
        (EVENTS.replace('"userId"', '"@envelope.x"'), "the path @envelope.x needs `envelope`: connect, debezium"),
        (EVENTS.replace('"s"', '"sec"'), "`events[0].ts.unit`: it takes s, ms, us, ns, d, iso, not 'sec'."),
        (EVENTS.replace('"view"', '"look"'), "`events[0].kind.map.seen`: 'look' is no kind of event: view, click"),
        (EVENTS.replace("{ seen", "{ sé = 1, seen"), "the file is not TOML"),
        (EVENTS + 'format = "xml"', "`events[0].format`: it takes json, msgpack, avro, protobuf, json-schema"),
        (EVENTS + 'operations = "c"', "`events[0].operations`: it goes with envelope"),
        (EVENTS + 'envelope = "debezium"\noperations = ["x"]', "takes c, r, u, d, t, m"),
        (EVENTS + 'envelope = "debezium"\noperations = ["t"]', "t and m have no row"),
        (EVENTS + "skip = [{ values = [1] }]", "`events[0].skip[0]` has no `path`."),
        (EVENTS + 'skip = { path = "a" }', "`events[0].skip` needs `values`"),
        (EVENTS + 'skip = { path = "a", values = [[1]] }', "`events[0].skip` needs `values`"),
        (EVENTS + "value = { path = 'r', range = [5, 1] }", "`events[0].value.range`: the worst and the best"),
        (EVENTS + "value = { value = 'x' }", "`events[0].value.value`: 'x' does not fit: a number is needed"),
        (EVENTS + 'scene = { path = "a", default = [] }', "`events[0].scene.default`: [] does not fit"),
        (ITEMS + 'operations = "c"', "unknown key `items[0].operations`"),
        (ITEMS.replace('id = "id"', 'id = { value = "x" }'), "`items[0].id` takes a path: each item has another id."),
        (ITEMS + 'title2 = "x"', "unknown key `items[0].title2`; did you mean `title`?"),
        (ITEMS + 'attributes = { path = "a", cut = 1 }', "`items[0].attributes.cut`: true or false is needed, not 1."),
        (" " * (MAX_BYTES + 1), "more than 65,536 characters"),
    ],
)
def test_fault_is_named(text: str, says: str) -> None:
    assert says in refusal(text)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ('"purchase"', 'a text is a path; for one kind write kind = { value = "purchase" }'),
        ('{ value = "buy" }', "`events[0].kind.value`: 'buy' is no kind of event"),
        ('{ path = "a", map = {} }', "1 to 1000 words are needed"),
        ('{ path = "a", map = 1 }', "`events[0].kind.map` is 1, but a table is needed"),
        ('{ path = "a", other = "none" }', "`events[0].kind.other`: 'none' is no kind of event"),
        ('{ path = "a", like_from = 3 }', "it goes with a lower `dislike_to`"),
        ('{ path = "a", like_from = 3, dislike_to = 3 }', "it goes with a lower `dislike_to`"),
    ],
)
def test_fault_of_a_kind_is_named(kind: str, says: str) -> None:
    assert says in refusal(re.sub("kind = .*", f"kind = {kind}", EVENTS))


def test_hostile_keys_come_back_as_text() -> None:
    said = refusal('[[events]]\n"a\\u001b[31m\\u202e" = 1\n' + "x" * 5 + "=1")
    assert "\x1b" not in said
    assert "\u202e" not in said
