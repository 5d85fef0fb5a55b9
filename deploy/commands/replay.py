"""`ouzel replay`."""

import asyncio
from pathlib import Path
from typing import Any

import click

from deploy.commands.columns import chosen, column_options
from deploy.commands.options import BROKERS, TIMEOUT, connection, seen_chosen, seen_options
from deploy.commands.parameters import InFile, OutFile, Real
from deploy.local.terminal import Terminal, say

FILE = InFile()


@click.command()
@BROKERS
@click.option("--items", type=FILE, help="Catalogue: CSV, JSON or Parquet (see docs/guide/files.md).")
@click.option("--events", type=FILE, help="Events: CSV, JSON or Parquet.")
@click.option("--speed", metavar="N", type=Real(min=0.01), help="Send N events per second.")
@click.option(
    "--factor",
    metavar="N",
    type=Real(min=0.01),
    show_default="full speed",
    help="Send events N times as fast as they happened.",
)
@click.option(
    "--history",
    metavar="SHARE",
    type=Real(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the events, the oldest, to send as history.",
)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Read only the first N rows of events.")
@column_options
@click.option("--watch", is_flag=True, help="Show the lists live, with hit rates beside baselines, as the demo does.")
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=Real(min=1),
    show_default="all events",
    help="With --watch: stop after this long.",
)
@click.option("--json", "json_file", metavar="FILE", type=OutFile(), help="With --watch: also write a summary here.")
@seen_options
@TIMEOUT
def replay(
    brokers: str,
    items: Path | None,
    events: Path | None,
    speed: float | None,
    factor: float | None,
    history: float,
    limit: int | None,
    watch: bool,
    seconds: float | None,
    json_file: Path | None,
    seen_again: str,
    seen_kinds: str,
    timeout: float,
    **columns: Any,
) -> None:
    """Send recorded events and a catalogue to Kafka, in time order.

    Ouzel recognizes columns with common names. With --history, the oldest events go out at full speed, too old to
    trigger lists; the rest is sent live.
    """
    from deploy.replay.files import Files, replay_files
    from deploy.replay.send import Pace
    from deploy.replay.watch import tell_summary

    if speed is not None and factor is not None:
        raise click.UsageError("use either --speed or --factor, not both")
    event_columns, item_columns = chosen(columns)
    files = Files(
        events=events,
        items=items,
        event_columns=event_columns,
        item_columns=item_columns,
        pace=Pace(events_per_second=speed, factor=factor),
        history=history,
        seen=seen_chosen(seen_again, seen_kinds),
        limit=limit,
    )
    out = Terminal()
    sent = asyncio.run(replay_files(brokers, files, out, connection(), watched=watch, seconds=seconds, timeout=timeout))
    if sent.figures is not None:
        tell_summary(sent.figures, out, json_file)
    say(f"sent {sent.items:,} items, {sent.history:,} past events and {sent.live:,} live events")
