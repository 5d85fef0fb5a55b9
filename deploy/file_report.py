"""What was understood of a file, as one small table for the terminal, with what looks wrong below it."""

from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.sources import Report

Tell = Callable[[Path, Report], None]


def shown(console: Console) -> Tell:
    """What prints the report on a file."""

    def tell(path: Path, report: Report) -> None:
        table = Table(box=box.SIMPLE_HEAD, title=escape(path.name), title_justify="left", title_style="bold")
        table.add_column("column")
        table.add_column("read as", overflow="fold")
        table.add_column("to change", overflow="fold")
        for guess in report.guesses:
            table.add_row(escape(guess.what), escape(guess.meaning), escape(guess.option))
        console.print(table)
        for line in report.rows:
            console.print(escape(line), highlight=False, soft_wrap=True)
        for warning in report.warnings:
            console.print(f"[yellow]warning:[/yellow] {escape(warning)}", highlight=False, soft_wrap=True)

    return tell


def untold(path: Path, report: Report) -> None:
    """Print nothing."""
