"""Progress of long commands: bars in a terminal, elsewhere periodic plain lines."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deploy.local.terminal import Terminal
from schemas.shown import shown_in_line

TELL_SECONDS = 20.0
"""Interval of plain lines."""


class Beat:
    """Calls `tell` every `seconds` in a separate thread, from `start` to `stop`, so that long steps report too."""

    def __init__(self, tell: Callable[[], None], seconds: float | None = None) -> None:
        self._tell = tell
        self._seconds = TELL_SECONDS if seconds is None else seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._tell()


class Bars(Progress):
    """Rich progress bars; without a terminal, a plain line per running task every `TELL_SECONDS`, and one when done."""

    def __init__(self, *columns: str | ProgressColumn, console: Console, **options: Any) -> None:
        super().__init__(*columns, console=console, **options)
        self._beat: Beat | None = None
        self._told: dict[TaskID, str] = {}

    def start(self) -> None:
        if self.console.is_terminal:
            super().start()
        elif self._beat is None:
            self._beat = Beat(self._lines)
            self._beat.start()

    def stop(self) -> None:
        if self._beat is not None:
            self._beat.stop()
            self._beat = None
        elif self.console.is_terminal:
            super().stop()

    def _lines(self) -> None:
        for task in self.tasks:
            done = task.total is not None and task.completed >= task.total
            if done and self._told.get(task.id) == task.description:
                continue
            self.console.print(_line(task), soft_wrap=True)
            if done:
                self._told[task.id] = task.description


def _line(task: Task) -> str:
    """A plain line of progress: "training: 300 of 900, 1:20 so far"."""
    done = f"{task.completed:,.0f}"
    if task.total:
        done += f" of {task.total:,.0f}"
    elapsed = f"{clock(task.elapsed or 0.0)} so far"
    return (
        f"{task.description}: {done}, {elapsed}" if task.total or task.completed else f"{task.description}: {elapsed}"
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 1:05, 2:00:05."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


@contextmanager
def told_by_bars(*, by_label: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A `Progress` callback that draws one bar, restarted with each new label, or (`by_label`) one bar per label.

    A label ends at a colon or comma: "scorer: training 3 of 9" continues the bar of "scorer". A total of 0 is unknown.
    """
    columns = (
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, TextColumn("{task.description}", markup=False), console=Terminal(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}
        last = ""

        def advance(label: str, done: int, total: int) -> None:
            nonlocal last
            kind = label.partition(":")[0].partition(",")[0]
            key = kind if by_label else ""
            if key in tasks and kind != last and not by_label:
                bars.remove_task(tasks.pop(key))
            if key not in tasks:
                tasks[key] = bars.add_task(shown_in_line(label), total=total or None)
            last = kind
            bars.update(tasks[key], description=shown_in_line(label), completed=done, total=total or None)

        yield advance


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Print a plain line on standard error every `TELL_SECONDS` of the block: `what`, and the time so far."""
    console, began = Terminal(stderr=True), time.monotonic()

    def tell() -> None:
        elapsed = clock(time.monotonic() - began)
        console.print(f"{what}: {elapsed} so far", soft_wrap=True)

    beat = Beat(tell)
    beat.start()
    try:
        yield
    finally:
        beat.stop()
