"""A mapping file, compiled: how the records of other topics become events and items. Pure.

`read_mapping` reads the file once. For each of its topics there is then a function from a record to what goes to
`ouzel.events` or `ouzel.items`. Its only errors are `Refused`, and `SchemaMissing` if a schema must be fetched first.

An event without a mapped id gets one from topic, partition, offset and time of its record: a record that is read again
has the same id, and is not folded twice.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import xxhash

from schemas.codec import decode_event, decode_item, encode
from schemas.errors import Refusal, Refused
from schemas.events import Event
from schemas.items import Item
from schemas.limits import MAX_DETAIL_LENGTH, OLDEST_EVENT_MS
from schemas.topics import ALL, EVENTS, ITEMS, RECOMMENDATIONS
from streams.errors import BadMapping
from streams.mapping.conversions import Skip, fitting_unit
from streams.mapping.envelopes import DEBEZIUM, ENVELOPES, OPERATIONS, of_connect, opened
from streams.mapping.fields import INTERACTIONS, Field, Rule, field, rules
from streams.mapping.formats import FORMATS, JSON, OF_REGISTRY, TEXT, Decode, SchemaDecoders, checked_size, decoder
from streams.mapping.lists import plain_list, template
from streams.mapping.paths import Origin, Parsed, Path, getter, parse
from streams.mapping.tables import Table

MAX_BYTES = 64 * 1024
MAX_TABLES = 64
MAX_TOPIC_IN_ID = 80

SKIPS = ("rule", "kind", "tombstone", "operation")
"""Why a record is skipped: a rule of the file; a kind that it skips; a null value; an operation of Debezium."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLACE = re.compile(r" - at `\$\.?(\w*)[^`]*`$")

_SOURCE = ("topic", "format", "key_format", "envelope", "skip")
_EVENT_FIELDS = ("kind", "user", "item", "ts", "id", "scene", "value", "text", "target", "list")
_ITEM_FIELDS = ("id", "title", "text", "attributes", "published", "image", "audio")
_TIMES = ("ts", "published")
_KEYS = {
    "events": (*_SOURCE, "operations", *_EVENT_FIELDS),
    "items": (*_SOURCE, "withdraw", "tombstone_id", *_ITEM_FIELDS),
    "lists": ("topic", "skip", "fields"),
}


class Mapped(NamedTuple):
    """A record for one of our topics. A null value withdraws the item."""

    topic: str
    key: bytes
    value: bytes | None


class Null(Exception):
    """The payload of Connect's envelope is null: the record is as one with a null value."""


class Skipped(NamedTuple):
    """The mapping leaves the record out. `reason` is one of `SKIPS`."""

    reason: str


Outcome = Mapped | Skipped
MapRecord = Callable[[Origin, int], Outcome]
"""From a record and the present time (milliseconds since 1970) to its outcome. Raises `Refused` and `SchemaMissing`."""


@dataclass(frozen=True)
class Mapping:
    """A compiled file. `topics` has the functions of each source topic, in the order of the file, and `decoders` what
    decodes its values; `targets` are the topics of ours that are written, and `lists` the topics of others to which
    lists go. `formats` are those of the file that need a schema registry."""

    topics: dict[str, tuple[MapRecord, ...]]
    decoders: dict[str, Decode]
    targets: tuple[str, ...]
    lists: tuple[str, ...]
    formats: frozenset[str]


def read_mapping(text: str, schemas: SchemaDecoders, *, accepted_from_ms: int = OLDEST_EVENT_MS) -> Mapping:
    """Compile the text of a mapping file. `schemas` may grow later. Raises `BadMapping`."""
    if len(text) > MAX_BYTES:
        raise BadMapping(f"the file has more than {MAX_BYTES:,} characters.")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadMapping(f"the file is not TOML: {error}.") from None
    top = Table(found, "", ("events", "items", "lists"))
    topics: dict[str, list[MapRecord]] = {}
    decoders: dict[str, Decode] = {}
    formats: set[str] = set()
    targets = []
    for kind, compiled in (("events", _event), ("items", _item)):
        if kind in top:
            targets.append((EVENTS if kind == "events" else ITEMS).name)
        taken: set[str] = set()
        for table in _tables(top, kind):
            source = Source(table, schemas)
            function = compiled(table, source, accepted_from_ms)
            formats |= source.formats
            for name in source.topics:
                if name in taken:
                    raise table.wrong("topic", f"{name} is in two [[{kind}]] tables: one record makes one of them")
                taken.add(name)
                topics.setdefault(name, []).append(function)
                decoders.setdefault(name, source.decode)
    lists: list[str] = []
    for table in _tables(top, "lists"):
        name, function = _list(table)
        if name in (*topics, *lists):
            raise table.wrong("topic", f"{name} is in another table: lists go to a topic for them alone")
        lists.append(name)
        topics.setdefault(RECOMMENDATIONS.name, []).append(function)
        decoders[RECOMMENDATIONS.name] = plain_list
    if not topics:
        raise BadMapping("the file maps nothing: it needs an [[events]], [[items]] or [[lists]] table.")
    made = {name: tuple(functions) for name, functions in topics.items()}
    return Mapping(made, decoders, tuple(targets), tuple(lists), frozenset(formats))


def _tables(top: Table, kind: str) -> Iterator[Table]:
    given = top.raw(kind, [])
    if not isinstance(given, list) or len(given) > MAX_TABLES:
        raise BadMapping(f"`{kind}` is written as [[{kind}]], at most {MAX_TABLES} times.")
    for number, each in enumerate(given):
        yield Table(each, f"{kind}[{number}]", _KEYS[kind])


def check_topic(table: Table, name: str) -> None:
    """Raise `BadMapping` if `name` is no name of a topic of others."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise table.wrong("topic", f"{name[:60]!r} is no name of a topic")
    if name in {topic.name for topic in ALL}:
        raise table.wrong("topic", f"{name} is a topic of Ouzel: name the one that is mapped to it")


class Source:
    """The topics of a table, and how their records are opened."""

    def __init__(self, table: Table, schemas: SchemaDecoders) -> None:
        self.table = table
        self.topics = table.texts("topic")
        for name in self.topics:
            check_topic(table, name)
        if not self.topics:
            raise BadMapping(f"`{table.where}` has no `topic`.")
        form = table.one_of("format", FORMATS, JSON)
        key_form = table.one_of("key_format", (TEXT, *FORMATS), TEXT)
        self.envelope = table.one_of("envelope", ENVELOPES, "")
        self.formats = {each for each in (form, key_form) if each in OF_REGISTRY}
        self.decode = decoder(form, schemas)
        self._decode_key = _key_decoder(decoder(key_form, schemas), self.envelope if key_form != TEXT else "")
        self._text_key = key_form == TEXT
        self.skip, used = rules(table, "skip")
        self.check(used)

    def check(self, paths: tuple[Path, ...]) -> None:
        """Refuse paths that can find nothing. Raises `BadMapping`."""
        for path in paths:
            if path.root == "key" and path.steps and self._text_key:
                raise BadMapping(
                    f"`{self.table.where}`: the path {path.text} is inside the key: set key_format, as in "
                    'key_format = "json".'
                )
            if path.root == "envelope" and not self.envelope:
                raise BadMapping(
                    f"`{self.table.where}`: the path {path.text} needs `envelope`: {', '.join(ENVELOPES)}."
                )

    def field(self, name: str, *, required: bool = False) -> Field | None:
        found = field(self.table, name, required=required)
        if found is not None:
            self.check(found.paths)
        return found

    def open(self, record: Origin) -> tuple[Parsed, str]:
        """The record as plain data, and Debezium's operation. Its value must not be null. Raises `Refused`."""
        data = self.decode(checked_size(record.value or b""))
        if not self.envelope:
            if type(data) is not dict:
                raise Refused(Refusal.INVALID, "the value is no object")
            return Parsed(record, data, None, self._decode_key), ""
        data, envelope, operation = opened(self.envelope, data)
        if type(data) is not dict and operation != "d":
            if data is None and not operation:
                raise Null
            if operation not in ("t", "m"):
                raise Refused(Refusal.INVALID, "the envelope holds no object")
        return Parsed(record, data, envelope, self._decode_key), operation

    def bare(self, record: Origin) -> Parsed:
        """A record of which only the key and its place are used."""
        return Parsed(record, None, None, self._decode_key)


def _key_decoder(decode: Decode, envelope: str) -> Callable[[bytes | None], Any]:
    def key(found: bytes | None) -> Any:
        if found is None:
            return None
        plain = decode(checked_size(found))
        return of_connect(plain) if envelope else plain

    return key


def derived_id(record: Origin) -> str:
    """The id of a record's event: the same whenever it is read. A topic that was recreated gives others."""
    topic = record.topic
    if len(topic) > MAX_TOPIC_IN_ID:
        topic = f"{topic[: MAX_TOPIC_IN_ID - 17]}-{xxhash.xxh3_64_hexdigest(topic.encode())}"
    return f"{topic}-{record.partition}-{record.offset}-{max(0, record.timestamp):x}"


def _event(table: Table, source: Source, accepted_from_ms: int) -> MapRecord:
    fields = [source.field(name, required=name in ("kind", "user")) for name in _EVENT_FIELDS]
    held = {each.name: each for each in fields if each is not None}
    kind = held["kind"]
    if "item" not in held and (kind.get is not None or kind.constant in INTERACTIONS):
        raise BadMapping(f'`{table.where}` has no `item`: say where it is, as in item = "path.of.field".')
    if "ts" not in held:
        stamp = parse("@timestamp")
        held["ts"] = Field("ts", stamp.text, (stamp,), getter(stamp), int, required=True, unit="ms")
    else:
        held["ts"] = held["ts"]._replace(required=True)
    operations = table.texts("operations", ("c", "r"))
    if not set(operations) <= set(OPERATIONS) or ("operations" in table and source.envelope != DEBEZIUM):
        raise table.wrong("operations", f'it goes with envelope = "debezium" and takes {", ".join(OPERATIONS)}')
    if {"t", "m"} & set(operations):
        raise table.wrong("operations", "t and m have no row")
    own_id, used = "id" in held, tuple(held.values())

    def event(record: Origin, now_ms: int) -> Outcome:
        if record.value is None:
            return Skipped("tombstone")
        try:
            parsed, operation = source.open(record)
            if operation and operation not in operations:
                return Skipped("operation")
            if _any(source.skip, parsed):
                return Skipped("rule")
            values = {each.name: found for each in used if (found := each.of(parsed)) is not None}
        except Skip as skip:
            return Skipped(str(skip))
        except Null:
            return Skipped("tombstone")
        if not own_id:
            values["id"] = derived_id(record)
        try:
            value = encode(Event(**values))
            key = values["user"].encode()
            decode_event(value, key=key, now_ms=now_ms, accepted_from_ms=accepted_from_ms)
        except Refused as error:
            raise _explained(error, held, parsed, values) from None
        except (OverflowError, UnicodeEncodeError):
            raise Refused(Refusal.INVALID, "a number or text out of bounds") from None
        return Mapped(EVENTS.name, key, value)

    return event


def _item(table: Table, source: Source, _: int) -> MapRecord:
    fields = [source.field(name, required=name in ("id", "title")) for name in _ITEM_FIELDS]
    held = {each.name: each for each in fields if each is not None}
    identity = held["id"]
    if identity.get is None:
        raise BadMapping(f"`{table.where}.id` takes a path: each item has another id.")
    tombstone = source.field("tombstone_id")
    if tombstone is None and all(path.root == "key" for path in identity.paths):
        tombstone = identity
    withdraw, paths = rules(table, "withdraw")
    source.check(paths)
    used = tuple(held.values())

    def withdrawn(parsed: Parsed, *places: Field | None) -> Mapped:
        for place in places:
            found = None if place is None else place._replace(required=False).of(parsed)
            if found:
                return Mapped(ITEMS.name, str(found).encode("utf-8", "replace"), None)
        wheres = " or ".join(dict.fromkeys(place.where for place in (identity, tombstone) if place is not None))
        raise Refused(Refusal.INVALID, f"no id of the item to withdraw - at `{wheres}`"[:MAX_DETAIL_LENGTH])

    def of_null(record: Origin) -> Outcome:
        if tombstone is not None:
            return withdrawn(source.bare(record), tombstone)
        if source.envelope == DEBEZIUM:
            return Skipped("tombstone")  # it follows the record of the deletion
        raise Refused(Refusal.EMPTY, "a null value withdraws an item: set `tombstone_id`, where the key has its id")

    def item(record: Origin, now_ms: int) -> Outcome:  # noqa: PLR0911 - one outcome a line
        if record.value is None:
            return of_null(record)
        try:
            parsed, operation = source.open(record)
            if operation in ("m", "t"):
                if operation == "m":
                    return Skipped("operation")
                raise Refused(Refusal.INVALID, "the table was truncated: withdraw its items one by one - at `op`")
            if operation == "d":
                return withdrawn(parsed, identity if parsed.value is not None else None, tombstone)
            if _any(source.skip, parsed):
                return Skipped("rule")
            if _any(withdraw, parsed):
                return withdrawn(parsed, identity)
            values = {each.name: found for each in used if (found := each.of(parsed)) is not None}
        except Null:
            return of_null(record)
        try:
            value = encode(Item(**values))
            key = values["id"].encode()
            decode_item(value, key=key)
        except Refused as error:
            raise _explained(error, held, parsed, values) from None
        except (OverflowError, UnicodeEncodeError):
            raise Refused(Refusal.INVALID, "a number or text out of bounds") from None
        return Mapped(ITEMS.name, key, value)

    return item


def _controlled(made: Any) -> bool:
    """Whether a value has a control character, which the contract refuses without saying where."""
    texts = made if type(made) is tuple else (made,)
    return any(isinstance(each, str) and _CONTROL.search(each) for each in texts)


def _list(table: Table) -> tuple[str, MapRecord]:
    """The topic of a [[lists]] table, and the function that writes lists to it."""
    (name, *more) = table.texts("topic") or ("",)
    if not name or more:
        raise table.wrong("topic", "the name of one topic is needed")
    check_topic(table, name)
    write = template(table)
    skip, paths = rules(table, "skip")
    if any(path.root != "value" for path in paths):
        raise table.wrong("skip", "its paths are fields of a list")

    def lists(record: Origin, now_ms: int) -> Outcome:
        if record.value is None:
            return Skipped("tombstone")
        found = plain_list(record.value)
        if _any(skip, Parsed(record, found, None, lambda _: None)):
            return Skipped("rule")
        try:
            return Mapped(name, record.key or b"", write(found))
        except OverflowError:
            raise Refused(Refusal.INVALID, "a time out of bounds") from None

    return name, lists


def _any(found: tuple[Rule, ...], parsed: Parsed) -> bool:
    return any(rule.holds(parsed) for rule in found) if found else False


def _explained(error: Refused, fields: dict[str, Field], parsed: Parsed, values: dict[str, Any]) -> Refused:
    """The refusal of a mapped message, with the path in the record instead of the field."""
    place = _PLACE.search(error.detail)
    in_order = sorted(values, key="text".__eq__)  # an item's text may have line breaks: the other fields come first
    named = place[1] if place else next((name for name in in_order if _controlled(values[name])), "")
    source = fields.get(named)
    if source is None:
        return error
    why, name = error.detail[: place.start()] if place else "a control character", source.name
    if name in _TIMES and source.get is not None:
        unit = fitting_unit(source.get(parsed), source.unit)
        why = f'read as {source.unit}, it is outside the accepted times; set unit = "{unit}"' if unit else why
        why = why.replace("; send milliseconds since 1970", "").replace("; send milliseconds", "; set its unit")
    return Refused(error.code, f"`{name}`: {why} - at `{source.where or name}`"[:MAX_DETAIL_LENGTH])
