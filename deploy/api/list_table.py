"""What `ouzel ask` prints."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.http.lists import RecommendedList
from schemas.shown import shown_in_line


def printed(made: RecommendedList) -> RenderableType:
    """A list as a table, and below it how it was made."""
    below = [Text(line) for line in _below(made)]
    if not made.entries:
        return Group(Text("The list is empty: no published item is left that the user has not seen."), *below)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("place", justify="right")
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for place, entry in enumerate(made.entries, start=1):
        title, reason = (Text(shown_in_line(text)) for text in (entry.title, entry.reason.text))
        table.add_row(str(place), title, f"{entry.score:z.3f}", reason)
    return Group(table, Text(), *below)


def _below(made: RecommendedList) -> Iterator[str]:
    origin = f"published, list {made.id}" if made.origin == "published" else "made for this request"
    version = "no version of the model" if made.model_version is None else f"version {made.model_version}"
    yield shown_in_line(f"{version}; {origin}; scene {made.scene}; {_moment(made.ts)} UTC")
    if made.degraded is not None:
        yield f"degraded ({made.degraded.value}): the model had no part in this list"
    if made.unasked is not None:
        yield f"the model was not asked ({made.unasked.value}): the list is as good without it"
    if made.cold:
        yield "nothing is known of this user: it is the list of someone new"


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):  # a time that no calendar has
        return f"{ms} ms"
