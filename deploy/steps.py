"""What is being made ready, a line for each step: moving in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

NAME_WIDTH = 20
TELL_SECONDS = 10.0
"""Between two lines about a step that goes on."""


class Step:
    """One step under way. `say` shows what it does now, and how far it is where that is known."""

    def __init__(self, say: Callable[[str, int | None, int | None], None]) -> None:
        self._say = say

    def say(self, note: str, done: int | None = None, total: int | None = None) -> None:
        self._say(note, done, total)


class Steps:
    """Steps that may run at the same time, from entering this context to leaving it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn(f"{{task.description:<{NAME_WIDTH}}}"),
                BarColumn(bar_width=20, finished_style="grey42"),
                TextColumn("[grey58]{task.fields[note]}"),
                console=console,
            )

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step from here to the end of the block; it counts as done unless the block raises."""
        began = time.monotonic()
        if self._bars is None:
            self._console.print(f"{name} ...", highlight=False)
            last, told = "", began

            def tell(note: str, _done: int | None, _total: int | None) -> None:
                nonlocal last, told
                now = time.monotonic()
                if note != last and now - told >= TELL_SECONDS:
                    told = now
                    self._console.print(f"{name}: {note} ...", highlight=False, soft_wrap=True)
                last = note

            yield Step(tell)
            self._console.print(
                f"{name}: {last or 'ready'} ({time.monotonic() - began:.1f} s)", highlight=False, soft_wrap=True
            )
            return
        bars = self._bars
        task = bars.add_task(name, total=None, note="")

        def say(note: str, done: int | None, total: int | None) -> None:
            # One more than there is: a step is done when its block is, whatever is done within.
            bars.update(task, note=note, completed=done, total=None if total is None else total + 1)

        try:
            yield Step(say)
        except BaseException:
            bars.update(task, note="not finished")
            raise
        note = bars.tasks[task].fields["note"] or "ready"
        bars.update(task, total=1, completed=1, note=f"{note} ({time.monotonic() - began:.1f} s)")

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
