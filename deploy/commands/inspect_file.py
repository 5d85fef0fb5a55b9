"""`ouzel inspect-file`."""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import click

from deploy.commands.columns import chosen, column_options
from deploy.commands.parameters import InFile
from deploy.local.terminal import Terminal, say, say_json

ROWS = 10


@click.command("inspect-file")
@click.argument("file", type=InFile())
@click.option(
    "--as", "what", type=click.Choice(["events", "items"]), show_default="guessed", help="What the file contains."
)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Read only the first N rows.")
@column_options
def inspect_file(file: Path, what: str | None, limit: int | None, **columns: Any) -> None:
    """Show how Ouzel reads a file, and its first ten rows, without sending them.

    Describe the format of the file with --delimiter, --encoding and --no-header, whether it contains events or items.
    Exits with 1 if no row can be used.
    """
    import msgspec

    from deploy.files.event_files import EventFile
    from deploy.files.inspecting import holds
    from deploy.files.item_files import item_file
    from deploy.files.report import printed

    for option in ("delimiter", "encoding", "no_header"):
        columns[f"items_{option}"] = columns[f"items_{option}"] or columns[option]
    event_columns, item_columns = chosen(columns)
    tell = printed(Terminal())
    if (what or holds(file, event_columns, item_columns)) == "events":
        with EventFile(file, event_columns, limit) as events:
            tell(file, events.report)
            for event in islice(events, ROWS):
                say_json(msgspec.json.encode(event).decode())
            events.check(events.total, likes=False)
        return
    with item_file(file, item_columns, limit) as items:
        first = []
        for number, item in enumerate(items):
            if number < ROWS:
                first.append(item)
        tell(file, items.report)
        for item in first:
            say_json(msgspec.json.encode(item).decode())
        if not first:
            say(f"no row of {file} can be used: {items.tally}.", err=True)
            sys.exit(1)
