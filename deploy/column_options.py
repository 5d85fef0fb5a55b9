"""The options that tell a command which column of a file is what; the same for every command that reads files."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from deploy.sources import EventColumns, ItemColumns
from schemas.events import EventKind

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--user-column", help="Column of the person."),
    click.option("--item-column", help="Column of the item, in both files."),
    click.option("--time-column", help="Column of the time: seconds, milliseconds or ISO 8601."),
    click.option("--rating-column", help="Column of the rating, which makes rate events."),
    click.option("--rating-max", type=float, default=5.0, show_default=True, help="The best rating there is."),
    click.option("--kind-column", help="Column of the kind of event."),
    click.option("--kind", type=click.Choice([kind.value for kind in EventKind]), help="One kind for all events."),
    click.option("--map-kind", multiple=True, metavar="FROM=KIND", help="What a value of the kind column means."),
    click.option("--title-column", help="Column of the item's title."),
    click.option("--text-column", help="Column of the item's text."),
    click.option("--attribute-column", multiple=True, help="Column of the item's attributes; may be given again."),
    click.option("--separator", default="|", show_default=True, help="Between attributes in one column."),
    click.option("--scene", default="default", show_default=True, help="The scene of all events."),
)


def column_options(command: F) -> F:
    """Give a command `OPTIONS`; it takes them as keywords, for `chosen`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def chosen(given: Mapping[str, Any]) -> tuple[EventColumns, ItemColumns]:
    """The columns that were named. Raises `click.UsageError`."""
    events = EventColumns(
        user=given["user_column"],
        item=given["item_column"],
        time=given["time_column"],
        rating=given["rating_column"],
        kind=given["kind_column"],
        fixed=EventKind(given["kind"]) if given["kind"] else None,
        kinds=dict(_kinds(pair) for pair in given["map_kind"]),
        rating_max=given["rating_max"],
        scene=given["scene"],
    )
    items = ItemColumns(
        item=given["item_column"],
        title=given["title_column"],
        text=given["text_column"],
        attributes=given["attribute_column"] or None,
        separator=given["separator"],
    )
    return events, items


def _kinds(pair: str) -> tuple[str, EventKind]:
    name, _, kind = pair.partition("=")
    try:
        return name, EventKind(kind)
    except ValueError:
        raise click.UsageError(f"--map-kind takes FROM=KIND with a kind of {', '.join(EventKind)}") from None
