"""`ouzel export`."""

import asyncio
from pathlib import Path

import click

from deploy.commands.options import BROKERS, TIMEOUT, connection
from deploy.commands.parameters import Id, NewFile, Since
from deploy.local.terminal import say, say_json
from schemas.limits import MAX_LIST_ENTRIES


@click.group()
def export() -> None:
    """Write what the topics hold now to files."""


@export.command("lists")
@click.argument("out", type=NewFile())
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl"]),
    show_default="by the ending of OUT; jsonl for -",
    help="Parquet, or a line of JSON for each row.",
)
@click.option("--scene", metavar="SCENE", type=Id(), help="Only the lists of this scene.")
@click.option(
    "--since",
    metavar="TIME",
    type=Since(),
    help="Only lists made since this time: 2026-11-28, 2026-11-28T06:00+01:00 (UTC without a zone), or 24h or 7d ago.",
)
@click.option(
    "--top", metavar="N", type=click.IntRange(1, MAX_LIST_ENTRIES), help="Only the first N entries of each list."
)
@BROKERS
@TIMEOUT
def export_lists(
    out: Path,
    form: str | None,
    scene: str | None,
    since: int | None,
    top: int | None,
    brokers: str,
    timeout: float,
) -> None:
    """Write the current list of every user and scene to OUT, a row for each entry.

    OUT is a .parquet or .jsonl file, or "-" for JSON lines on standard output. A file is replaced as a whole once the
    new one is complete. Users who were erased are left out.

    Reads ouzel.recommendations, ouzel.items, ouzel.privacy and ouzel.privacy-receipts to their ends, and holds the
    newest list of each user in memory. What was exported and what was left out goes to standard error.
    """
    from deploy.export.formats import JSONL, check_format, format_of, write_file, write_lines
    from deploy.export.list_rows import Counts, rows
    from deploy.export.reading import read_lists
    from deploy.export.report import report

    to_terminal = str(out) == "-"
    if to_terminal and form not in (None, JSONL):
        raise click.UsageError("standard output takes JSON lines: name a file for Parquet, or leave out --format.")
    form = form or (JSONL if to_terminal else format_of(out))
    check_format(form)
    read = asyncio.run(read_lists(brokers, connection(), timeout, scene=scene))
    counts = Counts()
    made = rows(read.lists, read.titles, read.erased, counts, since_ms=since, top=top)
    if to_terminal:
        write_lines(made, say_json)
    else:
        write_file(out, form, made)
    for line in report(counts, read, scene):
        say(line, err=True)
