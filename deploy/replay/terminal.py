"""The view of a watched replay: a live picture in a terminal, else one line for logs.

This module only renders the `Board` and the `Judge`'s verdict; it counts nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.replay.judge import JUDGED, Judge, Verdict
from deploy.replay.scoreboard import Board, Liked
from deploy.replay.versions import compared, last_verdict, live, tried
from schemas.events import Event
from schemas.recommendations import Recommendation
from schemas.shown import shown_in_line
from streams.serving.trials import Trials

METHODS = {"ouzel": "Ouzel", "item_knn": "item-kNN", "markov": "last-item transitions", "popularity": "popularity"}
FRAME = "grey42"
QUIET = "grey58"
LIST_SHOWN = 5
VERSION_LINES = 3


@dataclass
class Notes:
    """Notes shown in the view: progress of reading the catalogue, a warning, and the addresses of the live page. Empty:
    none."""

    reading: str = ""
    pages: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Show:
    """The data of a view; `parts` names what runs ("embedded broker, Triton"), `until` is its duration in seconds.
    `versions` are shown once a record names one."""

    board: Board
    judge: Judge
    titles: Mapping[str, str]
    parts: str
    until: float | None
    notes: Notes = field(default_factory=Notes)
    versions: Trials = field(default_factory=Trials)


class View:
    """The live picture at one moment; fills the terminal, from 80 x 24 up."""

    def __init__(self, show: Show, elapsed: float, now: float) -> None:
        self._show = show
        self._elapsed = elapsed
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        # The head's line, the tiles' 4, the methods and their frame, and the person's frame with its heading.
        left = height - 1 - 4 - (len(self._rows()) + 2) - 3
        versions = [_versions(self._show.versions)] if self._show.versions.known else []
        left -= (VERSION_LINES + 2) * len(versions)
        room = max(LIST_SHOWN, min(2 * LIST_SHOWN, left))
        parts = [self._head(width), self._tiles(), self._person(room), self._hits(width), *versions]
        if left - room >= 5:
            parts.append(self._recent(left - room - 2))
        yield Group(*parts)

    def _head(self, width: int) -> RenderableType:
        clock = _clock(self._elapsed) + (f" / {_clock(self._show.until)}" if self._show.until else "")
        clock = f"Ctrl-C to stop   {clock}"
        line = Text(" Ouzel ", style="bold black on cyan", no_wrap=True, overflow="ellipsis")
        told = " · ".join(filter(None, (self._show.notes.pages, self._show.parts)))
        line.append(f"  {shown_in_line(told)}", style=f"{QUIET} not bold on default")
        line.truncate(width - len(clock) - 2, overflow="ellipsis", pad=True)
        line.append(f" {clock} ", style="bold default on default")
        return line

    def _tiles(self) -> RenderableType:
        board = self._show.board
        degraded, letters = board.degraded.total(), board.dead_letters.total()
        share = f"{100 * degraded / board.lists:.1f}%" if board.lists else ""
        p50, p95 = (board.event_to_list.percentile(p) for p in (50, 95))
        grid = Table.grid(expand=True)
        for _ in range(5):
            grid.add_column(ratio=1)
        grid.add_row(
            _tile("events in", f"{board.events:,}", f"{board.events_rate.at(self._now):.1f}/s"),
            _tile("lists out", f"{board.lists:,}", f"{board.lists_rate.at(self._now):.1f}/s"),
            _tile("event→list", f"p50 {milliseconds(p50)}", f"p95 {milliseconds(p95)}"),
            _tile("no model", f"{degraded:,}  {share}", _most(board.degraded), "yellow" if degraded else "green"),
            _tile("refused", f"{letters:,}", _most(board.dead_letters), "red" if letters else "green"),
        )
        return grid

    def _person(self, room: int) -> RenderableType:
        person = self._show.board.followed
        title = "one user, live"
        inside: RenderableType = Text("waiting for the first user with a list ..." + "\n" * room, style=QUIET)
        if person is not None and person.latest is not None:
            title += f", after {person.liked:,} likes"
            grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
            grid.add_column(ratio=4)
            grid.add_column(ratio=9)
            grid.add_row(
                _likes(list(person.likes)[-room:][::-1], self._show.titles, room),
                _list(person.latest, self._show.titles, room),
            )
            inside = grid
        notes = self._show.notes
        note = (
            Text(shown_in_line(notes.warning), style="bold red")
            if notes.warning
            else Text(shown_in_line(notes.reading), style="cyan")
        )
        return Panel(
            inside,
            title=title,
            title_align="left",
            subtitle=note or None,
            subtitle_align="left",
            border_style=FRAME,
            padding=(0, 1),
        )

    def _rows(self) -> list[tuple[str, float | None]]:
        return ratios(self._show.judge.verdict())

    def _hits(self, width: int) -> RenderableType:
        verdict = self._show.judge.verdict()
        rows = self._rows()
        best = max((ratio or 0.0 for _, ratio in rows), default=0.0) or 1.0
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=22, no_wrap=True)
        grid.add_column(width=6, justify="right")
        grid.add_column()
        long = max(10, width - 40)
        for name, ratio in rows:
            style = "bold cyan" if name == METHODS["ouzel"] else "default"
            bar = _bar((ratio or 0.0) / best, long)
            grid.add_row(
                Text(name, style=style),
                Text("-" if ratio is None else f"{ratio:.3f}", style=style),
                Text(bar, style="cyan" if name == METHODS["ouzel"] else FRAME),
            )
        title = f"next like among the first {JUDGED}: share of {verdict.tests:,} tests so far"
        return Panel(grid, title=title, title_align="left", border_style=FRAME, padding=(0, 1))

    def _recent(self, room: int) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
        table.add_column(width=2, no_wrap=True)
        table.add_column(ratio=6, no_wrap=True, overflow="ellipsis")
        table.add_column(width=9, justify="right", no_wrap=True)
        titles = self._show.titles
        latest = list(self._show.board.recent)[-room:][::-1]
        for answer in latest:
            last, made = answer.last, answer.made
            did = Text("...", style=QUIET) if last is None or last.item is None else Text(_did(last, titles))
            names = ", ".join(_named(entry.item, titles) for entry in made.entries[:4])
            table.add_row(
                did,
                Text("->", style=FRAME),
                Text(names, style=QUIET),
                Text(milliseconds(made.freshness_ms), style="cyan"),
            )
        for _ in range(room - len(latest)):
            table.add_row("", "", "", "")
        return Panel(table, title="latest lists", title_align="left", border_style=FRAME, padding=(0, 1))


def ratios(verdict: Verdict) -> list[tuple[str, float | None]]:
    """Each method's name and hit ratio, in the order of `METHODS`."""
    return [(label, verdict.ratio(name)) for name, label in METHODS.items() if name in verdict.hits]


def line(show: Show, elapsed: float, now: float) -> str:
    """The same figures in one plain line, for logs."""
    board = show.board
    p50, p95 = (board.event_to_list.percentile(p) for p in (50, 95))
    hits = "  ".join(
        f"{name} {'-' if ratio is None else f'{ratio:.3f}'}" for name, ratio in ratios(show.judge.verdict())
    )
    return (
        f"{_clock(elapsed)}  events {board.events:,} ({board.events_rate.at(now):.1f}/s)  "
        f"lists {board.lists:,} ({board.lists_rate.at(now):.1f}/s)  event to list "
        f"p50 {milliseconds(p50)} p95 {milliseconds(p95)}  "
        f"without model {board.degraded.total():,}  dead letters {board.dead_letters.total():,}  hits: {hits}"
        + (f"  live: {live(show.versions)}, tried: {_in_line(show.versions)}" if show.versions.known else "")
        + "".join(f"  {shown_in_line(note)}" for note in (show.notes.reading, show.notes.warning) if note)
    )


def _versions(versions: Trials) -> RenderableType:
    """What serves, what is tried against it, and the last verdict: one line each, cut at the width."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, style=QUIET)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    difference = compared(versions)
    better, worse = versions.bounds.low > 0, versions.bounds.high < 0
    style = "bold green" if better else "bold red" if worse else "default"
    trial = Text(tried(versions), no_wrap=True, overflow="ellipsis")
    if difference:
        trial.append("  " + difference, style=style)
    grid.add_row("live", Text(live(versions), style="bold cyan", no_wrap=True, overflow="ellipsis"))
    grid.add_row("tried", trial)
    grid.add_row("last", Text(shown_in_line(last_verdict(versions)), no_wrap=True, overflow="ellipsis"))
    return Panel(grid, title="learning", title_align="left", border_style=FRAME, padding=(0, 1))


def _in_line(versions: Trials) -> str:
    return " ".join(filter(None, (tried(versions), compared(versions))))


def _tile(title: str, big: str, small: str, style: str = "cyan") -> Panel:
    body = Text(no_wrap=True, overflow="ellipsis")
    body.append(big + "\n", style=f"bold {style}")
    body.append(small, style=QUIET)
    return Panel(body, title=title, title_align="left", border_style=FRAME, padding=(0, 1))


def _likes(likes: list[Liked], titles: Mapping[str, str], room: int) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(width=3, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row("", Text("liked (# on list)", style=QUIET))
    for liked in likes:
        mark = Text(f"#{liked.place}", style="bold green") if liked.place else Text("+", style=FRAME)
        table.add_row(mark, Text(_named(liked.item, titles), style="green" if liked.place else "default"))
    for _ in range(room - len(likes)):
        table.add_row("", "")
    return table


def _list(made: Recommendation, titles: Mapping[str, str], room: int) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(width=2, justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    # A reason has a separate line if there is room, else a column.
    own_line = room >= 2 * LIST_SHOWN
    if not own_line:
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    model = "without the model" if made.degraded or made.unasked else "with the model"
    table.add_row("", Text(f"recommended {model} after {milliseconds(made.freshness_ms)}", style=QUIET))
    for place, entry in enumerate(made.entries[:LIST_SHOWN], start=1):
        number, name = Text(str(place), style="bold cyan"), Text(_named(entry.item, titles), style="bold")
        reason = Text(shown_in_line(entry.reason.text), style=QUIET)
        if own_line:
            table.add_row(number, name)
            table.add_row("", reason)
        else:
            table.add_row(number, name, reason)
    return table


def _did(event: Event, titles: Mapping[str, str]) -> str:
    """A short description of an event."""
    what = _named(event.item or "", titles)
    did = event.kind.value if event.value is None else f"rated {event.value:g}"
    return f"{did}: {what}"


def _named(item: str, titles: Mapping[str, str]) -> str:
    """An item's title, safe for the terminal."""
    return shown_in_line(titles.get(item, item))


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _most(counts: Mapping[str, int]) -> str:
    """The most frequent reason, and the number of others."""
    if not counts:
        return "none"
    first, *others = sorted(counts, key=lambda reason: -counts[reason])
    return first + (f" +{len(others)}" if others else "")


def milliseconds(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
