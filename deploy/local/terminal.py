"""Printing of commands. Untrusted text is shown literally: no control characters, no markup."""

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from schemas.shown import shown, shown_json


class Terminal(Console):
    """A rich console that prints "[bold]" literally and escapes control characters.

    This applies to strings. A text for a `Text` or a progress bar must be passed through `shown` first.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text), **options)


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    click.echo(shown(text), err=err)


def say_json(json: str) -> None:
    """Print a line of JSON with the same value as `json`, safe for a terminal."""
    click.echo(shown_json(json))
