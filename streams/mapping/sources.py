"""The topics of one table of a mapping file, and how their records are opened. Pure."""

import re
from collections.abc import Callable
from typing import Any

from schemas.errors import Refusal, Refused
from schemas.topics import ALL
from streams.errors import BadMapping
from streams.mapping.envelopes import ENVELOPES, of_connect, opened
from streams.mapping.fields import Field, field, rules
from streams.mapping.formats import FORMATS, JSON, OF_REGISTRY, TEXT, Decode, SchemaDecoders, checked_size, decoder
from streams.mapping.paths import Origin, Parsed, Path
from streams.mapping.tables import Table

SOURCE_KEYS = ("topic", "format", "key_format", "envelope", "skip")

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Null(Exception):
    """The payload of Connect's envelope is null: the record is as one with a null value."""


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


def check_topic(table: Table, name: str) -> None:
    """Raise `BadMapping` if `name` is no name of a topic of others."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise table.wrong("topic", f"{name[:60]!r} is no name of a topic")
    if name in {topic.name for topic in ALL}:
        raise table.wrong("topic", f"{name} is a topic of Ouzel: name the one that is mapped to it")


def _key_decoder(decode: Decode, envelope: str) -> Callable[[bytes | None], Any]:
    def key(found: bytes | None) -> Any:
        if found is None:
            return None
        plain = decode(checked_size(found))
        return of_connect(plain) if envelope else plain

    return key
