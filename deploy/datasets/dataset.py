"""What can be evaluated: events and the items that they name, from MovieLens-100K or from files of one's own."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deploy.datasets import movielens
from deploy.datasets.ordering import drawn
from deploy.errors import BadSource
from deploy.files.event_checks import NO_LIKES, by_kind, liked
from deploy.files.event_files import EventFile
from deploy.files.item_files import items as read_items
from deploy.files.report import Tell, untold
from deploy.files.sources import USUAL_COLUMNS, USUAL_ITEM_COLUMNS, EventColumns, ItemColumns, Report, Tally
from schemas.actions import strength
from schemas.events import Event
from schemas.items import Item
from schemas.shown import shown_in_line

MAX_EVENTS = 1_000_000
"""At about 1 KiB an event, in each process of an evaluation."""


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
    event_columns: EventColumns = USUAL_COLUMNS,
    item_columns: ItemColumns = USUAL_ITEM_COLUMNS,
    *,
    limit: int | None = None,
    tell: Tell = untold,
) -> Dataset:
    """Events and items of the user's own. Events of items that the catalogue does not have are left out, and counted.

    With a `limit` only the first rows of events are read. Without `items` an item's title is its id, which says nothing
    to a language model. Of items with one id the last is taken. `tell` gets what was guessed of each file. Raises
    `BadSource` where a file cannot be read, nothing of it can be used or is a like, or it has more than `MAX_EVENTS`.
    """
    with EventFile(events, event_columns, limit) as file:
        if file.total > MAX_EVENTS:
            raise BadSource(
                f"{events} has {file.total:,} events, and {MAX_EVENTS:,} is the most: --limit takes the first."
            )
        item_rows, item_report = Tally(), Report()
        if items is not None:
            held = {item.id: item for item in read_items(items, item_columns, item_rows, item_report)}
            known = file.compare(held, items, item_rows)
        tell(events, file.report)
        if items is not None:
            tell(items, item_report)
            file.check(known, items)
            kept = tuple(event for event in file if event.item in held)
        else:
            file.check(file.total)
            kept = tuple(file)
            met = dict.fromkeys(event.item for event in kept if event.item is not None)
            held = {item: Item(id=item, title=item) for item in met}
        read = f"{events.name}: {file.tally}"
    counts = file.counts if items is None else Counter((str(event.kind), event.value) for event in kept)
    if not liked(counts):
        raise BadSource(f"{events}: {NO_LIKES}")
    note = f"{read}; {file.total - len(kept):,} of them on items that are not in the catalogue"
    note += f"; items: {item_rows}" if items is not None else "; no items were given, so titles are ids"
    note = shown_in_line(note)
    return Dataset(tuple(held.values()), kept, f"{note}. Likes, by kind and value: {by_kind(counts)}")
