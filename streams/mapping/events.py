"""Events from the records of other topics. Pure.

An event without a mapped id gets one from topic, partition, offset and time of its record: a record that is read again
has the same id, and is not folded twice.
"""

import xxhash

from schemas.codec import decode_event, encode
from schemas.errors import Refusal, Refused
from schemas.events import Event
from schemas.topics import EVENTS
from streams.errors import BadMapping
from streams.mapping.conversions import Skip
from streams.mapping.envelopes import DEBEZIUM, OPERATIONS
from streams.mapping.fields import INTERACTIONS, Field, any_holds
from streams.mapping.outcomes import Mapped, MapRecord, Outcome, Skipped
from streams.mapping.paths import Origin, getter, parse
from streams.mapping.refusals import explained
from streams.mapping.sources import Null, Source
from streams.mapping.tables import Table

EVENT_FIELDS = ("kind", "user", "item", "ts", "id", "scene", "value", "text", "target", "list")

MAX_TOPIC_IN_ID = 80


def event_mapping(table: Table, source: Source, accepted_from_ms: int) -> MapRecord:
    """The function that makes events of the records of a table. Raises `BadMapping`."""
    fields = [source.field(name, required=name in ("kind", "user")) for name in EVENT_FIELDS]
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
            if any_holds(source.skip, parsed):
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
            raise explained(error, held, parsed, values) from None
        except (OverflowError, UnicodeEncodeError):
            raise Refused(Refusal.INVALID, "a number or text out of bounds") from None
        return Mapped(EVENTS.name, key, value)

    return event


def derived_id(record: Origin) -> str:
    """The id of a record's event: the same whenever it is read. A topic that was recreated gives others."""
    topic = record.topic
    if len(topic) > MAX_TOPIC_IN_ID:
        topic = f"{topic[: MAX_TOPIC_IN_ID - 17]}-{xxhash.xxh3_64_hexdigest(topic.encode())}"
    return f"{topic}-{record.partition}-{record.offset}-{max(0, record.timestamp):x}"
