"""Events and items from tables of any make: which column is what, and what becomes of a row that cannot be used.

A row is used if the contract accepts what it says; otherwise it is counted in a `Tally` with its number and the reason,
and never with its values, which may name a person.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from deploy.errors import BadSource
from deploy.tables import Row, columns, rows
from schemas.codec import decode_event, decode_item, encode
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.limits import MAX_ATTRIBUTES, MAX_TEXT_LENGTH

T = TypeVar("T")

MAX_REASONS = 5
SECONDS_BELOW = 1e11
"""A number of seconds is below this until the year 5138, a number of milliseconds above it since 1973."""

LAST_MILLISECOND = 2**53

GUESSES = {
    "user": ("user", "user_id", "userId", "visitorid", "reviewerID", "customer_id"),
    "item": ("item", "item_id", "itemId", "movieId", "itemid", "asin", "article_id", "product_id"),
    "time": ("ts", "timestamp", "time", "unixReviewTime", "event_time", "date"),
    "rating": ("rating", "overall", "stars"),
    "kind": ("kind", "event", "event_type"),
    "title": ("title", "movie_title", "name", "product_name"),
    "attributes": ("attributes", "genres", "genre", "class", "categories", "category"),
    "text": ("text", "description"),
}
"""Names that data sets give their columns: the first that a file has is taken where none was asked for."""


@dataclass(frozen=True)
class EventColumns:
    """Which column of a table is what. None: a usual name where the file has one (`GUESSES`).

    A row becomes an event of the fixed kind `fixed` if that is given; else of the kind in its `kind` column, translated
    by `kinds` ("addtocart" -> cart); else a `rate` event with its rating, where `rating_max` is the best and becomes 5.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    kind: str | None = None
    id: str | None = None
    fixed: EventKind | None = None
    kinds: Mapping[str, EventKind] = field(default_factory=dict)
    rating_max: float = 5.0
    scene: str = "default"


@dataclass(frozen=True)
class ItemColumns:
    """Which column of a catalogue is what; None as above. An attribute column holds labels between `separator`s."""

    item: str | None = None
    title: str | None = None
    text: str | None = None
    attributes: tuple[str, ...] | None = None
    published: str | None = None
    separator: str = "|"


@dataclass
class Tally:
    """How many rows were used, how many were not, and why the first few were not."""

    used: int = 0
    bad: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, row: int, reason: str) -> None:
        self.bad += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(f"row {row}: {reason}")

    def __str__(self) -> str:
        text = f"{self.used:,} rows used"
        return f"{text}, {self.bad:,} not ({'; '.join(self.reasons)})" if self.bad else text


def milliseconds(value: Any) -> int:
    """Milliseconds since 1970 from seconds, milliseconds, an ISO 8601 time or a datetime; without a zone it is UTC.

    Raises ValueError.
    """
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, date):
        return milliseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return milliseconds(datetime.fromisoformat(str(value).strip()))
    if not isfinite(number):
        raise ValueError("not a time")
    if isinstance(value, str) and value.strip().isdecimal():
        whole = int(value)
        return whole if whole >= SECONDS_BELOW else whole * 1000
    return round(number if abs(number) >= SECONDS_BELOW else number * 1000)


def events(path: Path, wanted: EventColumns, tally: Tally) -> Iterator[Event]:
    """The events of a file, in its order; `tally` counts while they are read.

    Ids are the file's name and the row's number, so the same row has the same id each time, unless there is an `id`
    column. Raises `BadSource` if a column is not there.
    """
    there = columns(path)
    found = replace(
        wanted,
        user=_column(path, there, "user", wanted.user),
        item=_column(path, there, "item", wanted.item),
        time=_column(path, there, "time", wanted.time),
        id=_column(path, there, "id", wanted.id) if wanted.id else None,
        kind=None if wanted.fixed else _optional(path, there, "kind", wanted.kind),
        rating=_optional(path, there, "rating", wanted.rating),
    )
    if not (found.fixed or found.kind or found.rating):
        raise BadSource(
            f"{path} has neither a rating nor a kind of event in its columns ({', '.join(there)}). "
            "Name the column, or give one kind for all rows."
        )
    prefix = path.stem[:64]
    return _good(rows(path), lambda row: _event(row, found, prefix), tally)


def items(path: Path, wanted: ItemColumns, tally: Tally) -> Iterator[Item]:
    """The items of a file, in its order; `tally` counts while they are read. Text is cut at the contract's length.

    Raises `BadSource` if a column is not there.
    """
    there = columns(path)
    attributes = wanted.attributes
    if attributes is None:
        guess = _optional(path, there, "attributes", None)
        attributes = (guess,) if guess else ()
    found = replace(
        wanted,
        item=_column(path, there, "item", wanted.item),
        title=_column(path, there, "title", wanted.title),
        text=_optional(path, there, "text", wanted.text),
        attributes=tuple(_column(path, there, "attributes", name) for name in attributes),
        published=_column(path, there, "published", wanted.published) if wanted.published else None,
    )
    return _good(rows(path), lambda row: _item(row, found), tally)


def _good(table: Iterable[Row], make: Callable[[Row], T], tally: Tally) -> Iterator[T]:
    for row in table:
        if row.values is None:
            tally.refuse(row.number, row.problem)
            continue
        try:
            made = make(row)
        except Refused as error:
            tally.refuse(row.number, error.detail)
        except UnicodeEncodeError:
            tally.refuse(row.number, "not UTF-8")
        except (TypeError, ValueError, OverflowError):
            tally.refuse(row.number, "a time, rating or kind that cannot be understood")
        else:
            tally.used += 1
            yield made


def _event(row: Row, names: EventColumns, prefix: str) -> Event:
    assert row.values is not None
    assert names.user is not None
    assert names.item is not None
    assert names.time is not None
    value: float | None = None
    if names.fixed is not None:
        kind = names.fixed
    elif names.kind is not None:
        word = _word(row.values[names.kind])
        kind = names.kinds[word] if word in names.kinds else EventKind(word.lower())
    else:
        kind = EventKind.RATE
    if kind is EventKind.RATE and names.rating is not None:
        value = float(row.values[names.rating]) * 5.0 / names.rating_max
    event = Event(
        id=_word(row.values[names.id]) if names.id else f"{prefix}-{row.number}",
        user=_word(row.values[names.user]),
        kind=kind,
        ts=milliseconds(row.values[names.time]),
        item=_word(row.values[names.item]),
        scene=names.scene,
        value=value,
    )
    return decode_event(encode(event), key=event.user.encode(), now_ms=LAST_MILLISECOND, accepted_from_ms=0)


def _item(row: Row, names: ItemColumns) -> Item:
    assert row.values is not None
    assert names.item is not None
    assert names.title is not None
    labels: dict[str, None] = {}
    for name in names.attributes or ():
        for label in _labels(row.values[name], names.separator):
            labels.setdefault(label)
    text = _word(row.values[names.text]) if names.text else ""
    published = row.values[names.published] if names.published else None
    item = Item(
        id=_word(row.values[names.item]),
        title=" ".join(_word(row.values[names.title]).split()),
        text=text[:MAX_TEXT_LENGTH],
        attributes=tuple(labels)[:MAX_ATTRIBUTES],
        published=milliseconds(published) if published not in (None, "") else None,
    )
    return decode_item(encode(item), key=item.id.encode())


def _labels(value: Any, separator: str) -> Iterator[str]:
    parts = value if isinstance(value, list | tuple) else _word(value).split(separator)
    return (label for label in (_word(part) for part in parts) if label)


def _word(value: Any) -> str:
    """A value as an identifier or label: nothing becomes "", and a whole number has no decimal point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _optional(path: Path, there: list[str], role: str, name: str | None) -> str | None:
    if name is not None:
        return _column(path, there, role, name)
    return next((guess for guess in GUESSES[role] if guess in there), None)


def _column(path: Path, there: list[str], role: str, name: str | None) -> str:
    found = name if name is not None else next((guess for guess in GUESSES[role] if guess in there), None)
    if found is None or found not in there:
        missing = f"no column {name!r}" if name is not None else f"no column that looks like the {role}"
        raise BadSource(
            f"{path} has {missing}. Its columns are: {', '.join(there)}. Name the one to use for the {role}."
        )
    return found
