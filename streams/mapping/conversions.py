"""Convert what a mapping found in a record to what a field of the contract takes. Pure.

Each function takes one piece of plain data, never None, and raises `Unfit`, whose text goes to a dead letter: it says
what was found, never its content. Bounds are those of the contract, which the caller checks.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from schemas.events import EventKind
from schemas.limits import MAX_ATTRIBUTES, OLDEST_EVENT_MS

Convert = Callable[[Any], Any]


class Unfit(Exception):
    """What was found does not fit the field. The text is one line for the operator."""


class Skip(Exception):
    """The mapping says to skip this record. The text is the reason's label in metrics."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\s*[-+]?\d{1,30}(\.\d{0,30})?\s*")
_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MS = 7_258_118_400_000
_MOST_MS = 2**53

ISO = "iso"
UNITS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000), "d": (86_400_000, 1)}
"""Units of times as numbers since 1970, and what a number is multiplied with and divided by for milliseconds."""

MAX_LABEL = 64


def name_of(found: Any) -> str:
    """The type of plain data, in words."""
    if isinstance(found, bool):
        return "true or false"
    if isinstance(found, int | float | Decimal):
        return "a number"
    if isinstance(found, str):
        return "text"
    if isinstance(found, dict):
        return "an object"
    if isinstance(found, list | tuple):
        return "a list"
    return "bytes" if isinstance(found, bytes) else f"a {type(found).__name__}"


def identifier(found: Any) -> str:
    """Text, or a whole number in decimal."""
    kind = type(found)
    if kind is str:
        return str(found)
    if kind is int or (kind is Decimal and found == found.to_integral_value() and abs(found) < 10**38):
        return str(int(found))
    if kind is float and abs(found) < 2**53 and found.is_integer():
        return str(int(found))
    if kind is UUID:
        return str(found)
    raise Unfit(f"an identifier is text or a whole number, not {_whole(found)}")


def prefixed(prefix: str) -> Convert:
    return lambda found: prefix + identifier(found)


def words(found: Any) -> str:
    """Text; a number is written in decimal."""
    if type(found) is str:
        return found
    if type(found) in (int, float, Decimal, UUID):
        return str(found)
    raise Unfit(f"text is needed, not {name_of(found)}")


def cut_to(most: int, convert: Convert) -> Convert:
    return lambda found: convert(found)[:most]


def number(found: Any) -> float:
    """A finite number, or text that holds one."""
    if type(found) is str and _NUMBER.fullmatch(found):
        found = float(found)
    if type(found) in (int, float, Decimal) and abs(found) < 1e300:
        return float(found)
    raise Unfit(f"a number is needed, not {name_of(found)}")


def rating(low: float, high: float) -> Convert:
    """A rating from `low` to `high`, as one from 0 to 5."""

    def convert(found: Any) -> float:
        given = number(found)
        if not low <= given <= high:
            raise Unfit(f"a rating outside its range, {low:g} to {high:g}")
        return min(5.0, (given - low) * 5.0 / (high - low))

    return convert


def millis(unit: str) -> Convert:
    """A time as milliseconds since 1970: a number in `unit`, or text in ISO 8601, UTC unless it names a zone. What a
    format has as a time is one whatever the unit."""
    if unit == ISO:
        return _of_iso
    times, over = UNITS[unit]

    def convert(found: Any) -> int:
        kind = type(found)
        if kind is str:
            if not _NUMBER.fullmatch(found):
                raise Unfit('a time as text: set unit = "iso" if it is one in ISO 8601')
            found = Decimal(found.strip())
        elif kind is not int and not (kind is float and math.isfinite(found)):
            return _of_date(found)
        made = int(found * times // over)
        if not -_MOST_MS <= made <= _MOST_MS:
            raise Unfit("out of bounds")
        return made

    return convert


def _of_iso(found: Any) -> int:
    if type(found) is not str:
        if type(found) in (int, float):
            raise Unfit("a time as a number: set its unit (s, ms, us, ns or d)")
        return _of_date(found)
    try:
        return _of_date(datetime.fromisoformat(found.strip()))
    except ValueError:
        raise Unfit("a time that is not in ISO 8601") from None


def _of_date(found: Any) -> int:
    if isinstance(found, datetime):
        return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    if isinstance(found, date):
        return (datetime(found.year, found.month, found.day, tzinfo=UTC) - _EPOCH) // _MILLISECOND
    raise Unfit(f"a time is needed, not {name_of(found)}")


def fitting_unit(found: Any, unit: str) -> str:
    """The unit in which a time would be from 1980 to 2200, where it is not so in `unit`; else empty."""
    if unit not in UNITS or not isinstance(found, int | float) or not abs(found) < 1e30:
        return ""
    years = {each: OLDEST_EVENT_MS <= found * times / over <= _LATEST_MS for each, (times, over) in UNITS.items()}
    return "" if years[unit] else next((each for each, fits in years.items() if fits), "")


def kinds(meanings: Mapping[str, EventKind | None] | None, other: EventKind | None, *, skips: bool) -> Convert:
    """The kind of event by a word: what `meanings` says, by default the contract's name of a kind. A kind of None is
    skipped. An unknown word means `other`, or is skipped if `skips`."""
    known: dict[str, EventKind | None] = (
        {kind.value: kind for kind in EventKind if kind is not EventKind.ERASE} if meanings is None else {**meanings}
    )

    def convert(found: Any) -> EventKind:
        word = found if type(found) is str else str(found).lower() if type(found) in (int, bool) else None
        if word is None:
            raise Unfit(f"a kind is text, a whole number, or true or false, not {name_of(found)}")
        kind = known.get(word, other)
        if kind is not None:
            return kind
        if skips or word in known:
            raise Skip("kind")
        raise Unfit("a kind without a meaning: add it to `map`, or set `other`")

    return convert


def by_rating(like_from: float, dislike_to: float, other: EventKind | None, *, skips: bool) -> Convert:
    """A like from `like_from` on, a dislike up to `dislike_to`, and in between `other`, or skipped if `skips`."""

    def convert(found: Any) -> EventKind:
        given = number(found)
        if given >= like_from:
            return EventKind.LIKE
        if given <= dislike_to:
            return EventKind.DISLIKE
        if other is None:
            if skips:
                raise Skip("kind")
            raise Unfit("neither a like nor a dislike: set `other`")
        return other

    return convert


def labels(split: str, *, cut: bool) -> Convert:
    """Attributes: of a list, each element; of text, the parts between `split` if that is set."""

    def convert(found: Any) -> tuple[str, ...]:
        held: list[Any] = found if type(found) is list else [found]
        made: dict[str, None] = {}
        for each in held:
            if each is None:
                continue
            text = words(each)
            for part in text.split(split) if split else (text,):
                label = part.strip()
                if label:
                    made[label[:MAX_LABEL] if cut else label] = None
        return tuple(made)[: MAX_ATTRIBUTES if cut else None]

    return convert


def vector(found: Any) -> tuple[float, ...]:
    if type(found) is not list:
        raise Unfit(f"a list of numbers is needed, not {name_of(found)}")
    return tuple(map(number, found))


def _whole(found: Any) -> str:
    return "a fraction" if type(found) in (float, Decimal) else name_of(found)
