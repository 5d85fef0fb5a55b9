"""Refusals of mapped messages, for the team whose record it was: the path in the record instead of the field. Pure."""

import re
from typing import Any

from schemas.errors import Refused
from schemas.limits import MAX_DETAIL_LENGTH
from streams.mapping.conversions import fitting_unit
from streams.mapping.fields import Field
from streams.mapping.paths import Parsed

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLACE = re.compile(r" - at `\$\.?(\w*)[^`]*`$")
_TIMES = ("ts", "published")


def explained(error: Refused, fields: dict[str, Field], parsed: Parsed, values: dict[str, Any]) -> Refused:
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


def _controlled(made: Any) -> bool:
    """Whether a value has a control character, which the contract refuses without saying where."""
    texts = made if type(made) is tuple else (made,)
    return any(isinstance(each, str) and _CONTROL.search(each) for each in texts)
