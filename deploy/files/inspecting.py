"""Detect whether a file holds events or items."""

from pathlib import Path
from typing import Literal

from deploy.files.column_roles import usual
from deploy.files.sources import EventColumns, ItemColumns
from deploy.files.tables import Table

FIRST_ROWS = 1_000


def holds(path: Path, events: EventColumns, items: ItemColumns) -> Literal["events", "items"]:
    """Items if a title column is given or found and no user column; else events."""
    if events.user is not None or (items.title is None and items.item is None and _has(path, events, "user")):
        return "events"
    return "items" if items.title is not None or items.item is not None or _has(path, events, "title") else "events"


def _has(path: Path, events: EventColumns, role: str) -> bool:
    with Table(path, events.text, FIRST_ROWS) as table:
        return usual(table, role) is not None
