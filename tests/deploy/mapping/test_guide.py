"""The examples of docs/guide/mapping.md become what the page says."""

import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.codec import decode, encode
from schemas.events import Event
from schemas.items import Item
from schemas.recommendations import Entry, Reason, Recommendation
from schemas.topics import RECOMMENDATIONS
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped
from tests.streams.mapping.records import NOW_MS, Given
from tests.support.schema_registry import framed

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "mapping.md").read_text()
SECTIONS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
JSON_NAMES, DEBEZIUM, AVRO = SECTIONS
(LISTS,) = re.findall(r"^## Lists for .*?\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS.get(section, section), re.MULTILINE | re.DOTALL)


def mapped(text: str, topic: str, value: bytes, schemas: Any = None) -> dict[str, Any]:
    record = Given(value, topic, partition=0, offset=5, timestamp=NOW_MS)
    (function,) = read_mapping(text, schemas or {}).topics[topic]
    outcome = function(record, NOW_MS)
    assert isinstance(outcome, Mapped), outcome
    message: Any = decode(Event if outcome.topic == "ouzel.events" else Item, outcome.value)
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    assert made.pop("v") == 1
    return made


@pytest.mark.parametrize(("section", "topic"), [(JSON_NAMES, "web-clicks"), (DEBEZIUM, "shop.public.orders")])
def test_record_becomes_the_event_of_the_page(section: str, topic: str) -> None:
    (text,) = blocks(section, "toml")
    record, event = blocks(section, "json")
    made = mapped(text, topic, record.encode())
    assert made == {each: value for each, value in msgspec.json.decode(event).items() if value != "default"}


def test_row_of_a_film_becomes_an_item() -> None:
    (text,) = blocks(DEBEZIUM, "toml")
    row = {"id": 7, "name": "Fargo", "studio": "PolyGram", "genres": [{"name": "crime"}], "released": 9563}
    made = mapped(text, "shop.public.films", msgspec.json.encode({"op": "u", "after": row}))
    assert made == {"id": "7", "title": "Fargo", "attributes": ["PolyGram", "crime"], "published": 826_243_200_000}


def test_avro_record_becomes_the_event_of_the_page() -> None:
    fastavro = pytest.importorskip("fastavro", reason="fastavro is not installed")
    from streams.registry.avro import avro_decoder
    from streams.registry.schemas import Schema

    (text,) = blocks(AVRO, "toml")
    schema, record, event = blocks(AVRO, "json")
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(msgspec.json.decode(schema)), msgspec.json.decode(record))
    made = mapped(text, "ratings", framed(7, out.getvalue()), {7: avro_decoder(Schema("s", schema), [])})
    assert made == msgspec.json.decode(event)


def test_list_is_written_as_the_page_says() -> None:
    (text,), (written,) = blocks(LISTS, "toml"), blocks(LISTS, "json")
    entry = Entry(item="film-7", score=1.0, behavioural=1.0, propensity=1.0, sources=("new",),
                  reason=Reason(code="new", text="new"))  # fmt: skip
    made = Recommendation(
        id="l-1", user="ann", scene="home", ts=NOW_MS + 123, trigger="e", partition=0, offset=0,
        entries=(entry,), freshness_ms=1.0, took_ms=1.0,
    )  # fmt: skip
    (function,) = read_mapping(text, {}).topics[RECOMMENDATIONS.name]
    outcome = function(Given(encode(made), RECOMMENDATIONS.name, key=b"ann"), NOW_MS)
    assert isinstance(outcome, Mapped)
    assert msgspec.json.decode(outcome.value or b"") == msgspec.json.decode(written)


@pytest.mark.parametrize("section", [*SECTIONS, LISTS], ids=lambda section: section[:20])
def test_examples_are_short(section: str) -> None:
    for text in blocks(section, "toml"):
        assert len(text.splitlines()) < 20


def test_page_names_every_key() -> None:
    from streams.mapping import fields, mapping

    keys = {key for keys in mapping.KEYS.values() for key in keys} | {*fields._KINDS_OF_FIELDS}
    keys |= {key for more, _ in fields._KINDS_OF_FIELDS.values() for key in more}
    keys -= {"image", "audio", "scene", "target", "list"}  # the reference names the fields
    assert not [key for key in keys if not re.search(rf"\b{key}\b", PAGE)]
