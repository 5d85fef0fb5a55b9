"""Explain why a map was refused: the decoder's error, plus a hint at the likely cause. Pure.

Only called for refused values. A detail names fields of the contract and common spellings of them, never other content
of the value.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import EnumType
from typing import Any

import msgspec

from schemas.times import unit_of

MOST_HINTED = 140
"""Maximum characters of hints about misspelled fields in one detail."""

_PLACE = re.compile(r" - at `\$\.(\w+)`$")
_NAME = re.compile(r"[A-Za-z0-9_.$-]{1,40}")
_MISSING = re.compile(r"missing required field `(\w+)`$")
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d([T ].*)?|\s*\d{1,2}[./]\d{1,2}[./]\d{4}.*")

_SPELLINGS = {
    "id": "eventid uuid guid messageid msgid key _id",
    "user": "userid uid customer customerid visitor visitorid member memberid person personid account accountid "
    "profile profileid session sessionid subject distinctid who username",
    "kind": "type eventtype eventkind eventname action event behavior behaviour interaction interactiontype",
    "ts": "timestamp time eventtime eventts createdat created date datetime occurredat at when unixtime timestampms",
    "item": "itemid product productid article articleid sku content contentid movie movieid film filmid track trackid "
    "object objectid asin target targetid",
    "scene": "context page placement surface channel",
    "value": "rating score stars ratingvalue",
    "text": "description body sentence query",
    "list": "listid recommendationid recid recommendation",
    "target": "targetid forget eventid",
    "title": "name itemname itemtitle label headline producttitle productname",
    "attributes": "tags genres categories category labels keywords",
    "published": "publishedat releasedate released createdat created",
}
"""Other common names of the contract's fields, in lower case, without underscores and dashes."""


def explained(complaint: str, found: Any, message_type: type[msgspec.Struct]) -> str:
    """The decoder's error `complaint`, extended with a hint if `found`, the value as plain data, suggests one."""
    if not isinstance(found, Mapping):
        return complaint
    missing = _MISSING.search(complaint)
    if missing is not None:
        return f"{complaint}{_instead_of(missing[1], found, message_type)}"
    place = _PLACE.search(complaint)
    if place is None:
        return complaint
    field = place[1]
    what = complaint[: place.start()]
    if what.startswith("Invalid enum value"):
        what = _allowed(field, found.get(field), message_type)
    else:
        what += _of_value(field, found.get(field), what)
    return what + place[0]


def misnamed(field: str, found: Any, message_type: type[msgspec.Struct]) -> str:
    """A hint at a missing field that was sent under another name, as the end of a sentence; empty if none."""
    return _instead_of(field, found, message_type) if isinstance(found, Mapping) else ""


def _instead_of(field: str, found: Mapping[Any, Any], message_type: type[msgspec.Struct]) -> str:
    if found.get(field, 0) is None:
        return " (null is absent)"
    known = {*message_type.__struct_fields__, "v"}
    envelope = _envelope(field, found, known)
    if envelope:
        return envelope
    unknown = [name for name in found if isinstance(name, str) and name not in known and _NAME.fullmatch(name)]
    wanted = [name for name in ("user", field, *message_type.__struct_fields__) if name in known and name not in found]
    hints = ""
    for name in dict.fromkeys(wanted):
        meant = _spelling_of(name, unknown)
        if meant is not None and (name == field or name in _required(message_type)):
            unknown.remove(meant)
            hint = f'; unknown field "{meant}": did you mean "{name}"?'
            if len(hints) + len(hint) <= MOST_HINTED:
                hints += hint
    return hints


def _spelling_of(field: str, unknown: list[str]) -> str | None:
    """The name among `unknown` that most likely means `field`, if any."""
    spellings = _SPELLINGS.get(field, "").split()
    for alike in (
        lambda name: name == field,
        lambda name: name in spellings,
        lambda name: bool(get_close_matches(name, [field], cutoff=0.75)),
    ):
        for name in unknown:
            if alike(_plain(name)):
                return name
    return None


def _required(message_type: type[msgspec.Struct]) -> set[str]:
    return {each.name for each in msgspec.structs.fields(message_type) if each.required}


def _plain(name: str) -> str:
    return re.sub(r"[\s_.$-]", "", name).casefold()


def _envelope(field: str, found: Mapping[Any, Any], known: set[str]) -> str:
    """A hint at an envelope around the message; empty if there is none."""
    if "payload" in found and "schema" in found:
        return "; found a Kafka Connect envelope: set value.converter.schemas.enable=false"
    if "op" in found and ("after" in found or "before" in found):
        return "; found a change event of Debezium: unwrap it (ExtractNewRecordState)"
    if "specversion" in found:
        return "; found a CloudEvent: send its data alone"
    for name in ("data", "payload", "value", "event", "message", "body", "record", "item", "attributes"):
        inner = found.get(name)
        if isinstance(inner, Mapping) and field in inner and name not in known:
            return f'; found it inside "{name}": send the content of "{name}" as the value'
    return ""


def _allowed(field: str, value: Any, message_type: type[msgspec.Struct]) -> str:
    """The values that an enumeration allows, and the one that was probably meant."""
    kinds = [one for one in _types(field, message_type) if isinstance(one, msgspec.inspect.EnumType)]
    if not kinds or not isinstance(kinds[0].cls, EnumType):
        return "Not one of the values known here"
    allowed = [str(one.value) for one in kinds[0].cls]
    said = f"Not one of {', '.join(allowed)}"
    if isinstance(value, str) and len(value) <= 40:
        meant = get_close_matches(_plain(value), allowed, n=1, cutoff=0.75)
        said += f"; did you mean `{meant[0]}`?" if meant else ""
    return said


def _of_value(field: str, value: Any, complaint: str) -> str:  # noqa: PLR0911, PLR0912 - one case a line
    """A hint at the cause of a type or bound error, as the end of a sentence; empty if there is none."""
    if isinstance(value, str):
        if complaint.startswith(("Expected `int", "Expected `float")):
            if _NUMBER.fullmatch(value):
                return ", a number in quotes: send it without"
            if _DATE.fullmatch(value):
                return ", a date as text: send milliseconds since 1970"
        elif complaint.startswith("Expected `array"):
            return ": send a list of strings"
    elif isinstance(value, bool):
        return ""
    elif isinstance(value, (int, float)):
        if complaint.startswith("Expected `str"):
            return ": send it in quotes; if it is the record's key, send the same text as the key"
        if field in ("ts", "published"):
            return _of_time(value)
        if field == "value":
            return ": a rating is from 0 to 5"
    elif isinstance(value, Mapping) and len(value) == 1 and set(value) <= {"string", "long", "int", "double", "float"}:
        return ": found a union in Avro's JSON encoding, send the plain value"
    elif isinstance(value, (bytes, bytearray)) and complaint.startswith("Expected `str"):
        return ": send text, not bytes (msgpack's use_bin_type)"
    elif type(value).__name__ == "datetime":
        return ": send milliseconds since 1970, not a MessagePack timestamp"
    return ""


def _of_time(value: float) -> str:
    unit = unit_of(value)
    if unit:
        return f", looks like {unit}; send milliseconds"
    return ": send whole milliseconds since 1970" if isinstance(value, float) else ""


def _types(field: str, message_type: type[msgspec.Struct]) -> list[msgspec.inspect.Type]:
    described = msgspec.inspect.type_info(message_type)
    assert isinstance(described, msgspec.inspect.StructType)
    for each in described.fields:
        if each.name == field:
            kind = each.type
            return list(kind.types) if isinstance(kind, msgspec.inspect.UnionType) else [kind]
    return []
