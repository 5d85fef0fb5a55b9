"""Items, and their withdrawals, from the records of other topics. Pure."""

from schemas.codec import decode_item, encode
from schemas.errors import Refusal, Refused
from schemas.items import Item
from schemas.limits import MAX_DETAIL_LENGTH
from schemas.topics import ITEMS
from streams.errors import BadMapping
from streams.mapping.envelopes import DEBEZIUM
from streams.mapping.fields import Field, any_holds, rules
from streams.mapping.outcomes import Mapped, MapRecord, Outcome, Skipped
from streams.mapping.paths import Origin, Parsed
from streams.mapping.refusals import explained
from streams.mapping.sources import Null, Source
from streams.mapping.tables import Table

ITEM_FIELDS = ("id", "title", "text", "attributes", "published", "image", "audio")


def item_mapping(table: Table, source: Source) -> MapRecord:
    """The function that makes items of the records of a table. Raises `BadMapping`."""
    fields = [source.field(name, required=name in ("id", "title")) for name in ITEM_FIELDS]
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
            if any_holds(source.skip, parsed):
                return Skipped("rule")
            if any_holds(withdraw, parsed):
                return withdrawn(parsed, identity)
            values = {each.name: found for each in used if (found := each.of(parsed)) is not None}
        except Null:
            return of_null(record)
        try:
            value = encode(Item(**values))
            key = values["id"].encode()
            decode_item(value, key=key)
        except Refused as error:
            raise explained(error, held, parsed, values) from None
        except (OverflowError, UnicodeEncodeError):
            raise Refused(Refusal.INVALID, "a number or text out of bounds") from None
        return Mapped(ITEMS.name, key, value)

    return item
