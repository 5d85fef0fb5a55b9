"""`ouzel replay`: send a catalogue and events from files to any brokers, with a progress bar."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.errors import BadSource
from deploy.files.event_files import EventFile
from deploy.files.item_files import items as read_items
from deploy.files.report import printed
from deploy.files.sources import EventColumns, ItemColumns, Report, Tally
from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS
from deploy.local.progress import Bars
from deploy.replay.send import Pace, kafka_sink, send_history, send_items, send_live
from deploy.replay.watch import Watch, on_signals
from schemas.events import Event
from schemas.items import Item
from schemas.seen import SeenRules
from schemas.topics import EVENTS, ITEMS
from streams.clock import SYSTEM
from streams.settings import Settings


@dataclass(frozen=True)
class Files:
    """Files to replay, and options. `history` is the share of events, from 0 to 1, sent at full speed as the past.

    The past ends `history_age_ms` ago, so that no event in it is recent enough to trigger a list; None: the workers'
    default limit. `seen` must equal the workers' settings; judging uses it.
    """

    events: Path | None = None
    items: Path | None = None
    event_columns: EventColumns = field(default_factory=EventColumns)
    item_columns: ItemColumns = field(default_factory=ItemColumns)
    pace: Pace = field(default_factory=Pace)
    history: float = 0.0
    history_age_ms: int | None = None
    seen: SeenRules = field(default_factory=SeenRules)
    limit: int | None = None


@dataclass
class Replayed:
    """Counts of sent records and of usable rows; `figures` of a watched replay."""

    items: int = 0
    history: int = 0
    live: int = 0
    item_rows: Tally = field(default_factory=Tally)
    event_rows: Tally = field(default_factory=Tally)
    figures: dict[str, Any] | None = None


async def replay_files(
    bootstrap: str,
    files: Files,
    console: Console,
    connection: Mapping[str, Any] = PLAIN,
    *,
    watched: bool = False,
    seconds: float | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Replayed:
    """Send the items, then the events in time order; ties keep the file's order. Both files are read first.

    With `watched`, the live part is shown and judged with the lists that arrive; it ends after `seconds` or on Ctrl-C.
    The result counts unusable rows. Raises `BadSource` for an unreadable file or one without usable events, and
    `DeployError` if the brokers do not accept a record.
    """
    if files.events is None and files.items is None:
        raise BadSource("there is nothing to replay: name an events file, an items file, or both.")
    if not 0.0 <= files.history <= 1.0:
        raise BadSource(f"--history is a share of the events, from 0 to 1, not {files.history:g}.")
    report = Replayed()
    with ExitStack() as opened:
        catalogue, events = _read(files, console, opened, report, watched=watched)
        age = Settings().lists.trigger_max_age_ms if files.history_age_ms is None else files.history_age_ms
        watch = (
            Watch(console, parts=f"replay to {bootstrap}", seconds=seconds, seen=files.seen, timeout=timeout)
            if watched
            else None
        )
        columns = (TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
        bars = opened.enter_context(Bars(*columns, TimeRemainingColumn(), console=console))
        named = [(files.items, ITEMS), (files.events, EVENTS)]
        rights = {topic.name: "Write" for file, topic in named if file is not None}
        async with kafka_sink(bootstrap, connection, timeout=timeout, rights=rights) as sink:
            if files.items is not None:
                bar = bars.add_task("items", total=len(catalogue))

                def on_item(item: Item) -> None:
                    bars.advance(bar)
                    if watch is not None:
                        watch.item(item)

                report.items = await send_items(sink, catalogue, on_sent=on_item)
            if events is None:
                return report
            stream = events.by_time()
            past = round(events.total * files.history)
            if past:
                history = bars.add_task("history", total=past)

                def on_past(event: Event) -> None:
                    bars.advance(history)
                    if watch is not None:
                        watch.past(event)

                report.history = await send_history(
                    sink,
                    islice(stream, past),
                    last_ms=events.time_at(past - 1),
                    ends_ms=SYSTEM.now_ms() - age,
                    on_sent=on_past,
                )
            if watch is not None:
                bars.stop()
                with on_signals(watch.end):
                    report.figures = await watch.run(bootstrap, sink, stream, files.pace, connection)
                report.live = int(report.figures["events"])
            elif events.total > past:
                live = bars.add_task("live", total=events.total - past)
                report.live = await send_live(sink, stream, files.pace, before=lambda _: bars.advance(live))
    return report


def _read(
    files: Files, console: Console, opened: ExitStack, report: Replayed, *, watched: bool
) -> tuple[list[Item], EventFile | None]:
    """Read both files and print how they were interpreted, before anything is sent. Raises `BadSource`."""
    events, catalogue, item_report = None, list[Item](), Report()
    tell = printed(console)
    if files.events is not None:
        events = opened.enter_context(EventFile(files.events, files.event_columns, files.limit))
        report.event_rows = events.tally
    if files.items is not None:
        catalogue = list(read_items(files.items, files.item_columns, report.item_rows, item_report))
    known = 1
    if events is not None and files.events is not None:
        if files.items is not None:
            known = events.compare({item.id for item in catalogue}, files.items, report.item_rows)
        tell(files.events, events.report)
    if files.items is not None:
        tell(files.items, item_report)
        if not catalogue:
            raise BadSource(f"no row of {files.items} can be used: {report.item_rows}.")
    if events is not None:
        events.check(known, files.items, likes=watched)
    return catalogue, events
