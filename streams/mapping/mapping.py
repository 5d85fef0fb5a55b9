"""A mapping file, compiled: how the records of other topics become events and items, and lists become JSON. Pure.

`read_mapping` reads the file once. For each of its topics there is then a function from a record to what goes to
`ouzel.events`, `ouzel.items` or another topic. Its only errors are `Refused`, and `SchemaMissing` if a schema must be
fetched first.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from schemas.limits import OLDEST_EVENT_MS
from schemas.topics import EVENTS, ITEMS, RECOMMENDATIONS
from streams.errors import BadMapping
from streams.mapping.events import EVENT_FIELDS, event_mapping
from streams.mapping.formats import Decode, SchemaDecoders
from streams.mapping.items import ITEM_FIELDS, item_mapping
from streams.mapping.lists import list_mapping, plain_list
from streams.mapping.outcomes import MapRecord
from streams.mapping.sources import SOURCE_KEYS, Source
from streams.mapping.tables import Table

MAX_BYTES = 64 * 1024
MAX_TABLES = 64

KEYS = {
    "events": (*SOURCE_KEYS, "operations", *EVENT_FIELDS),
    "items": (*SOURCE_KEYS, "withdraw", "tombstone_id", *ITEM_FIELDS),
    "lists": ("topic", "skip", "fields"),
}
"""The keys of each kind of table."""


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
    makers = (("events", partial(event_mapping, accepted_from_ms=accepted_from_ms)), ("items", item_mapping))
    for kind, compiled in makers:
        if kind in top:
            targets.append((EVENTS if kind == "events" else ITEMS).name)
        taken: set[str] = set()
        for table in _tables(top, kind):
            source = Source(table, schemas)
            function = compiled(table, source)
            formats |= source.formats
            for name in source.topics:
                if name in taken:
                    raise table.wrong("topic", f"{name} is in two [[{kind}]] tables: one record makes one of them")
                taken.add(name)
                topics.setdefault(name, []).append(function)
                decoders.setdefault(name, source.decode)
    lists: list[str] = []
    for table in _tables(top, "lists"):
        name, function = list_mapping(table)
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
        yield Table(each, f"{kind}[{number}]", KEYS[kind])
