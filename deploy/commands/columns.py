"""Options that say how to read a file of events or items; shared by every command that reads one."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from deploy.files.formats import Asked
from deploy.files.sources import EventColumns, ItemColumns
from schemas.events import EventKind

F = TypeVar("F", bound=Callable[..., Any])

KINDS = [kind.value for kind in EventKind if kind not in {EventKind.STEER, EventKind.FORGET, EventKind.ERASE}]
"""The kinds that a row can be. The others need more than a row holds."""

GUESSED = "guessed"


def _column(name: str, of: str, **more: Any) -> Callable[[F], F]:
    return click.option(name, metavar="COLUMN", help=of, **more)


OPTIONS = (
    _column("--user-column", "User column of the events file, by name or number."),
    _column("--item-column", "Item column of the events file."),
    _column("--time-column", "Time column."),
    click.option(
        "--time-format",
        metavar="FORMAT",
        show_default=GUESSED,
        help="s, ms, us, ns, iso, or a pattern like '%d.%m.%Y %H:%M'.",
    ),
    click.option(
        "--time-zone", metavar="ZONE", default="UTC", show_default=True, help="Time zone of times that name none."
    ),
    click.option("--row-order", is_flag=True, help="Ignore times and keep the order of the rows."),
    _column("--rating-column", "Rating column; its rows become rate events."),
    click.option(
        "--rating-max",
        metavar="RATING",
        type=click.FloatRange(min=0, min_open=True),
        show_default=GUESSED,
        help="The best possible rating.",
    ),
    _column("--kind-column", "Column with the kind of event."),
    click.option("--kind", type=click.Choice(KINDS), help="Give every event this kind."),
    click.option(
        "--map-kind",
        multiple=True,
        metavar="WORD=KIND",
        help="Read WORD in the kind column as KIND, or skip its rows with WORD=ignore. Repeatable.",
    ),
    _column("--id-column", "Column with the event's id.", show_default="derived from the row"),
    click.option(
        "--duplicates",
        type=click.Choice(["keep", "drop"]),
        default="keep",
        show_default=True,
        help="Keep or drop rows identical to an earlier row.",
    ),
    click.option("--keep-missing", is_flag=True, help="Accept nan, NULL, -1 and the like as ids."),
    _column("--items-id-column", "Item id column of the items file."),
    _column("--title-column", "Title column."),
    _column("--text-column", "Text column."),
    _column("--attribute-column", "Label column. Repeatable.", multiple=True),
    _column("--published-column", "Column with the time from which an item may be shown."),
    click.option("--separator", metavar="TEXT", show_default=GUESSED, help="Separator between labels in one column."),
    click.option(
        "--delimiter",
        metavar="TEXT",
        show_default=GUESSED,
        help="Delimiter between columns of the events file: ',', ';', tab, '::', ...",
    ),
    click.option("--items-delimiter", metavar="TEXT", show_default=GUESSED, help="The same for the items file."),
    click.option("--encoding", show_default=GUESSED, help="Text encoding of the events file."),
    click.option("--items-encoding", show_default=GUESSED, help="The same for the items file."),
    click.option("--no-header", "no_header", is_flag=True, help="The events file has no header row."),
    click.option("--items-no-header", "items_no_header", is_flag=True, help="The items file has no header row."),
    click.option("--scene", default="default", show_default=True, help="Scene of all events."),
)


def column_options(command: F) -> F:
    """Add `OPTIONS` to a command, which passes them to `chosen` as keywords."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def chosen(given: Mapping[str, Any]) -> tuple[EventColumns, ItemColumns]:
    """Turn the options into descriptions of both files. Raises `click.UsageError`."""
    if not 1 <= len(given["scene"]) <= 32 or not given["scene"].isprintable():
        raise click.UsageError("--scene takes 1 to 32 characters")
    try:
        ZoneInfo(given["time_zone"])
    except (ValueError, OSError, KeyError):
        raise click.UsageError(f"--time-zone {given['time_zone']} is unknown; try a name like Europe/Berlin") from None
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
    raise click.UsageError(f"--map-kind takes WORD=KIND, where KIND is one of {', '.join(KINDS)}, ignore")
