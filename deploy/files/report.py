"""Print the report on a file: a small table of the guesses, then the warnings."""

from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.files.sources import Report
from schemas.shown import shown, shown_in_line

Tell = Callable[[Path, Report], None]


def printed(console: Console) -> Tell:
    """A function that prints the report on a file."""

    def tell(path: Path, report: Report) -> None:
        table = Table(
            box=box.SIMPLE_HEAD, title=Text(shown_in_line(path.name)), title_justify="left", title_style="bold"
        )
        table.add_column("column")
        table.add_column("read as", overflow="fold")
        table.add_column("to change", overflow="fold")
        for guess in report.guesses:
            table.add_row(*(Text(shown_in_line(cell)) for cell in (guess.what, guess.meaning, guess.option)))
        console.print(table)
        for line in report.rows:
            console.print(Text(shown(line)), soft_wrap=True)
        for warning in report.warnings:
            console.print(Text.assemble(("warning:", "yellow"), " ", shown(warning)), soft_wrap=True)

    return tell


def silent(path: Path, report: Report) -> None:
    """Print nothing."""
