"""What commands print. Whatever others wrote is shown, never obeyed: no control characters, no markup."""

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from schemas.shown import shown, shown_json


class Terminal(Console):
    """A console of rich for which "[bold]" in a text is six letters, and which writes control characters out.

    That holds for strings. What goes into a `Text`, or into a bar, needs `shown` beforehand.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text), **options)


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    click.echo(shown(text), err=err)


def say_json(json: str) -> None:
    """Print a line of JSON, which is the same value as `json`."""
    click.echo(shown_json(json))
