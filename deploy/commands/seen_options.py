"""The options that say what counts as seen, for commands that judge lists: those of the worker's settings."""

from collections.abc import Callable
from typing import Any

import click

from schemas.seen import ALL, NEVER, SeenRules, seen_rules

_AGAIN = click.option(
    "--seen-again",
    envvar="OUZEL_SEEN_AGAIN",
    default=NEVER,
    show_default=True,
    help="When a seen item may be listed again: never, always, or after days; by scene: never, music=always, news=7.",
)
_KINDS = click.option(
    "--seen-kinds",
    envvar="OUZEL_SEEN_KINDS",
    default=ALL,
    show_default=True,
    help="Kinds of events that make an item seen: all, or joined by +; by scene: all, shop=purchase+dislike.",
)


def seen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add both options; `seen_chosen` takes their values."""
    return _AGAIN(_KINDS(command))


def seen_chosen(again: str, kinds: str) -> SeenRules:
    """The rules that the options say. Raises `click.UsageError` where they say none."""
    try:
        return seen_rules(again, kinds)
    except ValueError as error:
        raise click.UsageError(f"--seen-again and --seen-kinds: {error}.") from None
