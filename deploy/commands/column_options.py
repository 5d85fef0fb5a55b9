"""The options that tell a command how to read files; the same for every command that reads files."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from deploy.files.formats import Asked
from deploy.files.sources import EventColumns, ItemColumns
from schemas.actions import ITEM_KINDS
from schemas.events import EventKind

F = TypeVar("F", bound=Callable[..., Any])

KINDS = [kind.value for kind in ITEM_KINDS]
"""What a row can be: the other kinds need more than a row holds."""

OPTIONS = (
    click.option("--user-column", help="Column of the user, by name or number, in the file of events."),
    click.option("--item-column", help="Column of the item, in the file of events."),
    click.option("--time-column", help="Column of the time."),
    click.option("--time-format", help="s, ms, us, ns, iso, or like '%d.%m.%Y %H:%M'. [default: guessed]"),
    click.option("--time-zone", default="UTC", show_default=True, help="Zone of times that name none."),
    click.option("--row-order", is_flag=True, help="Take the rows of events in the order of the file, without times."),
    click.option("--rating-column", help="Column of the rating, which makes rate events."),
    click.option(
        "--rating-max", type=click.FloatRange(min=0, min_open=True), help="The best rating there is. [default: guessed]"
    ),
    click.option("--kind-column", help="Column of the kind of event."),
    click.option("--kind", type=click.Choice(KINDS), help="One kind for all events."),
    click.option("--map-kind", multiple=True, metavar="WORD=KIND", help="What a word in the kind column means."),
    click.option("--id-column", help="Column of the event's id. [default: made of what the row says]"),
    click.option(
        "--duplicates",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help="Rows that say the same as an earlier one.",
    ),
    click.option("--keep-missing", is_flag=True, help="Take words like nan, NULL and -1 for ids."),
    click.option("--items-id-column", help="Column of the item's id, in the file of items."),
    click.option("--title-column", help="Column of the item's title."),
    click.option("--text-column", help="Column of the item's text."),
    click.option("--attribute-column", multiple=True, help="Column of the item's labels; may be repeated."),
    click.option("--published-column", help="Column of the time from which an item may be shown."),
    click.option("--separator", help="Between labels in one column. [default: guessed]"),
    click.option(
        "--delimiter", help="Between columns of the file of events: ',', ';', tab, '::' ... [default: guessed]"
    ),
    click.option("--items-delimiter", help="The same, of the file of items."),
    click.option("--encoding", help="Of the text of the file of events. [default: guessed]"),
    click.option("--items-encoding", help="The same, of the file of items."),
    click.option("--no-header", "no_header", is_flag=True, help="The file of events does not name its columns."),
    click.option("--items-no-header", "items_no_header", is_flag=True, help="Nor does the file of items."),
    click.option("--scene", default="default", show_default=True, help="The scene of all events."),
)


def column_options(command: F) -> F:
    """Give a command `OPTIONS`; it takes them as keywords, for `chosen`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def chosen(given: Mapping[str, Any]) -> tuple[EventColumns, ItemColumns]:
    """How to read the files. Raises `click.UsageError`."""
    if not 1 <= len(given["scene"]) <= 32 or not given["scene"].isprintable():
        raise click.UsageError("--scene takes 1 to 32 characters")
    try:
        ZoneInfo(given["time_zone"])
    except (ValueError, OSError, KeyError):
        raise click.UsageError(f"--time-zone {given['time_zone']} is not known; try Europe/Berlin") from None
    events = EventColumns(
        user=given["user_column"],
        item=given["item_column"],
        time=given["time_column"],
        rating=given["rating_column"],
        kind=given["kind_column"],
        id=given["id_column"],
        fixed=EventKind(given["kind"]) if given["kind"] else None,
        kinds=dict(_kinds(pair) for pair in given["map_kind"]),
        rating_max=given["rating_max"],
        time_format=given["time_format"],
        time_zone=given["time_zone"],
        row_order=given["row_order"],
        keep_missing=given["keep_missing"],
        duplicates=given["duplicates"],
        scene=given["scene"],
        text=Asked(given["delimiter"], given["encoding"], False if given["no_header"] else None),
    )
    items = ItemColumns(
        item=given["items_id_column"],
        item_in_events=given["item_column"],
        title=given["title_column"],
        text=given["text_column"],
        attributes=given["attribute_column"] or None,
        published=given["published_column"],
        separator=given["separator"],
        keep_missing=given["keep_missing"],
        form=Asked(given["items_delimiter"], given["items_encoding"], False if given["items_no_header"] else None),
    )
    return events, items


def _kinds(pair: str) -> tuple[str, EventKind | None]:
    name, _, kind = pair.rpartition("=")
    if name and kind in {*KINDS, "ignore"}:
        return name, None if kind == "ignore" else EventKind(kind)
    raise click.UsageError(f"--map-kind takes WORD=KIND with a kind of {', '.join(KINDS)}, or ignore")
