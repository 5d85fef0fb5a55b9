"""What can be evaluated: events and the items that they name, from MovieLens-100K or from files of one's own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import movielens, sources
from deploy.errors import BadSource
from deploy.ordering import drawn
from deploy.sources import EventColumns, ItemColumns, Tally
from schemas.events import Event
from schemas.items import Item
from streams.context import strength

MAX_EVENTS = 1_000_000
"""At about 1 KiB an event, in each process of an evaluation."""

EVENT_COLUMNS, ITEM_COLUMNS = EventColumns(), ItemColumns()
"""Columns with usual names."""


def feeling(event: Event) -> int:
    """From -2, much disliked, to 2, much liked: as a live worker takes it."""
    return strength(event.kind, event.value)


def likes(event: Event) -> bool:
    return feeling(event) > 0


@dataclass(frozen=True)
class Dataset:
    """`events` in the order of their source, each about one of `items`; `note` says what they are."""

    items: tuple[Item, ...]
    events: tuple[Event, ...]
    note: str

    def stream(self, seed: int, limit: int | None = None) -> tuple[Event, ...]:
        """The events by (time, an order drawn from `seed`); with `limit` the first so many."""
        return tuple(drawn(self.events, seed))[:limit]


def films() -> Dataset:
    """MovieLens-100K. Raises `MissingPart` with the command that installs it."""
    folder = movielens.find()
    return Dataset(movielens.items(folder), movielens.rated(folder), "MovieLens-100K; a rating of 4 or more is a like")


def from_files(
    events: Path,
    items: Path | None = None,
    event_columns: EventColumns = EVENT_COLUMNS,
    item_columns: ItemColumns = ITEM_COLUMNS,
) -> Dataset:
    """Events and items of one's own. Events of items that the catalogue does not have are left out, and counted.

    Without `items` an item's title is its id, which says nothing to a language model. Of items with one id the last is
    taken. Raises `BadSource` where a file cannot be read, nothing of it can be used, or it has more than `MAX_EVENTS`.
    """
    event_rows, item_rows = Tally(), Tally()
    told = list(sources.events(events, event_columns, event_rows))
    if len(told) > MAX_EVENTS:
        raise BadSource(f"{events} has {len(told):,} events, and {MAX_EVENTS:,} is the most: cut it.")
    if items is None:
        held = {event.item: Item(id=event.item, title=event.item) for event in told if event.item is not None}
    else:
        held = {item.id: item for item in sources.items(items, item_columns, item_rows)}
    kept = tuple(event for event in told if event.item in held)
    if not kept:
        raise BadSource(f"no event of {events} can be used with these items: {event_rows}. Check the item columns.")
    note = f"{events.name}: {event_rows}; {len(told) - len(kept):,} of them on items that are not in the catalogue"
    note += f"; items: {item_rows}" if items is not None else "; no items were given, so titles are ids"
    return Dataset(tuple(held.values()), kept, f"{note}. Likes, by kind and value: {_likes(kept)}")


def _likes(events: Sequence[Event]) -> str:
    """How many of each kind of event are likes, for people to check."""
    kinds = Counter(event.kind for event in events)
    liked = Counter(event.kind for event in events if likes(event))
    return ", ".join(f"{liked[kind]:,} of {count:,} {kind.value}" for kind, count in kinds.most_common())
