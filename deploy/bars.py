"""How long commands show how far they are: bars on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def told_by_bars(*, by_label: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (label, done, total) that draws one bar that tells what is being done, and begins anew with the next.

    Or a bar for each label. In both cases a label is what comes before a colon or comma: "scorer: training 3 of 9" goes
    on with the bar of "scorer".
    """
    columns = (
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}
        last = ""

        def advance(label: str, done: int, total: int) -> None:
            nonlocal last
            kind = label.partition(":")[0].partition(",")[0]
            key = kind if by_label else ""
            if key not in tasks:
                tasks[key] = bars.add_task(label, total=total)
            elif kind != last and not by_label:
                bars.reset(tasks[key], total=total)
            last = kind
            bars.update(tasks[key], description=label, completed=done, total=total)

        yield advance
