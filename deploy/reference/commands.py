"""docs/reference/commands.md: every command with its arguments and options, from Click."""

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from streams.settings import PREFIX

HEAD = """\
# Commands

Generated from the command line by `make docs`. `ouzel COMMAND --help` prints the same.
"""


def commands_page(cli: click.Command) -> str:
    """The page for `cli` and all commands below it. Does not depend on the environment's settings."""
    with _without_settings():
        sections = list(_sections(_context(cli, "ouzel")))
    return "\n".join([HEAD, *sections])


def _sections(context: click.Context) -> Iterator[str]:
    command = context.command
    rows = list(_rows(context))
    if not isinstance(command, click.Group):
        yield _section(context, rows)
        return
    yield _section(context, [])
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            yield from _sections(_context(child, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """The context in which Click runs a command. With its settings, since commands cache the help option made here."""
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _section(context: click.Context, rows: list[str]) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {context.command_path}", "", "```text", usage, "```", ""]
    lines += [_escaped(inspect.cleandoc(command.help or "").replace("\b\n", "")), ""]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _rows(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            option, meaning = (text.replace("|", r"\|") for text in record)
            yield f"| `{option}` | {_escaped(meaning)} |"


def _escaped(text: str) -> str:
    """Text in which `<` begins no HTML tag."""
    return text.replace("<", "&lt;")


@contextmanager
def _without_settings() -> Iterator[None]:
    """Without the variables that change the defaults that Click shows."""
    kept = _settings(os.environ)
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(PREFIX)}
