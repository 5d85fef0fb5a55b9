"""Preparation steps, one line each: animated in a terminal, elsewhere plain lines, repeated during long steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from deploy.local.progress import Beat, clock
from schemas.shown import shown_in_line

NAME_WIDTH = 20


class Step:
    """A running step. `say` shows its current activity, and its progress if known."""

    def __init__(self, say: Callable[[str, int | None, int | None], None]) -> None:
        self._say = say

    def say(self, note: str, done: int | None = None, total: int | None = None) -> None:
        self._say(note, done, total)


class Steps:
    """Shows steps, possibly concurrent, while this context is open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._under_way: dict[str, tuple[float, str]] = {}
        self._beat = Beat(self._tell)
        if console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn(f"{{task.description:<{NAME_WIDTH}}}", markup=False),
                BarColumn(bar_width=20, finished_style="grey42"),
                TextColumn("{task.fields[note]}", style="grey58", markup=False),
                console=console,
            )

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step that lasts as long as the block; it is done unless the block raises."""
        began = time.monotonic()
        if self._bars is None:
            self._console.print(f"{name} ...", highlight=False)
            self._under_way[name] = began, ""

            def keep(note: str, _done: int | None, _total: int | None) -> None:
                self._under_way[name] = began, note

            try:
                yield Step(keep)
            finally:
                _, last = self._under_way.pop(name)
            self._console.print(
                f"{name}: {last or 'ready'} ({time.monotonic() - began:.1f} s)", highlight=False, soft_wrap=True
            )
            return
        bars = self._bars
        task = bars.add_task(name, total=None, note="")

        def say(note: str, done: int | None, total: int | None) -> None:
            # One more than the total: a step is done only when its block ends.
            bars.update(task, note=shown_in_line(note), completed=done, total=None if total is None else total + 1)

        try:
            yield Step(say)
        except BaseException:
            bars.update(task, note="not finished")
            raise
        note = bars.tasks[task].fields["note"] or "ready"
        bars.update(task, total=1, completed=1, note=f"{note} ({time.monotonic() - began:.1f} s)")

    def __enter__(self) -> Self:
        (self._beat if self._bars is None else self._bars).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._beat if self._bars is None else self._bars).stop()

    def _tell(self) -> None:
        """Print a line per running step."""
        for name, (began, note) in list(self._under_way.items()):
            told = ", ".join(part for part in (note, f"{clock(time.monotonic() - began)} so far") if part)
            self._console.print(f"{name}: {told}", highlight=False, soft_wrap=True)
