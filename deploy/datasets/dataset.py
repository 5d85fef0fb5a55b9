"""Datasets for evaluation and training: events and their items, from MovieLens-100K or from files."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deploy.datasets import movielens
from deploy.datasets.ordering import drawn
from deploy.errors import BadSource
from deploy.files.event_checks import NO_LIKES, by_kind, liked
from deploy.files.event_files import EventFile
from deploy.files.item_files import items as read_items
from deploy.files.report import Tell, silent
from deploy.files.sources import USUAL_COLUMNS, USUAL_ITEM_COLUMNS, EventColumns, ItemColumns, Report, Tally
from schemas.actions import strength
from schemas.events import Event
from schemas.items import Item
from schemas.shown import shown_in_line

MAX_EVENTS = 1_000_000
"""Each event takes about 1 KiB in each process of an evaluation."""


def feeling(event: Event) -> int:
    """The user's feeling about the item, from -2 (strongly disliked) to 2, by the same rule as in a worker."""
    return strength(event.kind, event.value)


def likes(event: Event) -> bool:
    return feeling(event) > 0


@dataclass(frozen=True)
class Dataset:
    """`events` in the order of their source, each about one of `items`; `note` describes the data."""

    items: tuple[Item, ...]
    events: tuple[Event, ...]
    note: str

    def stream(self, seed: int, limit: int | None = None) -> tuple[Event, ...]:
        """The events sorted by time, ties in random order from `seed`; at most the first `limit`."""
        return tuple(drawn(self.events, seed))[:limit]


def films() -> Dataset:
    """Load MovieLens-100K. Raises `MissingPart` with the command that installs it."""
    folder = movielens.find()
    return Dataset(movielens.items(folder), movielens.rated(folder), "MovieLens-100K; a rating of 4 or more is a like")


def from_files(
    events: Path,
    items: Path | None = None,
    event_columns: EventColumns = USUAL_COLUMNS,
    item_columns: ItemColumns = USUAL_ITEM_COLUMNS,
    *,
    limit: int | None = None,
    tell: Tell = silent,
) -> Dataset:
    """Load events and items from files. Events about items outside the catalogue are left out and counted.

    `limit` reads only the first rows of events. Without `items`, titles are ids, which mean nothing to a language
    model. Of items with the same id the last one counts. `tell` is called with the report on each file. Raises
    `BadSource` if a file is unreadable, has no usable events or no likes, or has more than `MAX_EVENTS`.
    """
    with EventFile(events, event_columns, limit) as file:
        if file.total > MAX_EVENTS:
            raise BadSource(
                f"{events} has {file.total:,} events, at most {MAX_EVENTS:,} are allowed: use the first with --limit."
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
    note += f"; items: {item_rows}" if items is not None else "; no item file, so titles are ids"
    note = shown_in_line(note)
    return Dataset(tuple(held.values()), kept, f"{note}. Likes, by kind and value: {by_kind(counts)}")
