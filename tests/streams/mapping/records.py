"""Records of other topics, and a short way to map them."""

from typing import Any, NamedTuple

import msgspec

from schemas.codec import decode
from schemas.events import Event
from schemas.items import Item
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped, Outcome, Skipped

NOW_MS = 1_790_000_000_000

EVENTS = """
[[events]]
topic = "clicks"
user = "userId"
item = "itemId"
kind = { path = "type", map = { seen = "view", bought = "purchase", ping = "skip" } }
ts = { path = "at", unit = "s" }
"""


class Given(NamedTuple):
    """A consumed record."""

    value: bytes | None
    topic: str = "clicks"
    partition: int = 3
    offset: int = 7
    timestamp: int = NOW_MS
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def given(value: Any, topic: str = "clicks", **more: Any) -> Given:
    """A record with a JSON value; bytes and None as they are."""
    raw = value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
    return Given(raw, topic, **more)


def mapped(text: str, record: Given, schemas: Any = None) -> Outcome:
    (function,) = read_mapping(text, {} if schemas is None else schemas).topics[record.topic]
    return function(record, NOW_MS)


def event(text: str, record: Given, schemas: Any = None) -> Event:
    outcome = mapped(text, record, schemas)
    assert isinstance(outcome, Mapped), outcome
    made = decode(Event, outcome.value)
    assert outcome.key == made.user.encode()
    return made


def item(text: str, record: Given) -> Item:
    outcome = mapped(text, record)
    assert isinstance(outcome, Mapped), outcome
    made = decode(Item, outcome.value)
    assert outcome.key == made.id.encode()
    return made


def skipped(text: str, record: Given) -> str:
    outcome = mapped(text, record)
    assert isinstance(outcome, Skipped), outcome
    return outcome.reason
