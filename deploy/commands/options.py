"""Options shared by several commands, and the worker settings shown in its help."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError
from schemas.seen import ALL, NEVER, SeenRules, seen_rules

WORK = Path(".ouzel")
"""The default folder for models, logs and state."""

MAIN_SETTINGS = (
    "brokers",
    "app_id",
    "security",
    "state_dir",
    "triton",
    "list_length",
    "list_deadline_ms",
    "trigger_max_age_ms",
    "oldest_event",
    "pseudonym_key",
    "web_host",
    "web_port",
)
"""The worker settings listed in `ouzel worker --help`."""


class FromEnvironment(click.Option):
    """An option whose help shows the value of its environment variable as the default."""

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        given = os.environ.get(self.envvar) if isinstance(self.envvar, str) else None
        return given or super().get_default(ctx, call=call)


def _addresses(context: click.Context, option: click.Parameter, text: str) -> str:
    """Return `text` if each address is host or host:port (Kafka's default port is 9092); else raise `DeployError`."""
    for address in text.split(","):
        host, colon, port = address.strip().rpartition(":")
        named = host if colon else port
        if not named or "/" in address or (colon and not (port.isdecimal() and 0 < int(port) < 65_536)):
            raise DeployError(f"--brokers (OUZEL_BROKERS) takes host:port, comma-separated, not {address.strip()!r}.")
    return text


BROKERS = click.option(
    "--brokers",
    metavar="HOST:PORT,...",
    cls=FromEnvironment,
    envvar="OUZEL_BROKERS",
    show_envvar=True,
    default="127.0.0.1:9092",
    show_default=True,
    callback=_addresses,
    help="Kafka brokers, comma-separated.",
)
TIMEOUT = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Give up when the brokers do not answer for this long.",
)
_AGAIN = click.option(
    "--seen-again",
    metavar="RULE",
    envvar="OUZEL_SEEN_AGAIN",
    show_envvar=True,
    default=NEVER,
    show_default=True,
    help="When to recommend a seen item again: never, always, or after a number of days. "
    "By scene: never,music=always,news=7.",
)
_KINDS = click.option(
    "--seen-kinds",
    metavar="KINDS",
    envvar="OUZEL_SEEN_KINDS",
    show_envvar=True,
    default=ALL,
    show_default=True,
    help="Kinds of events that mark an item as seen: all, or kinds joined by +. By scene: all,shop=purchase+dislike.",
)


def seen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --seen-again and --seen-kinds; pass their values to `seen_chosen`."""
    return _AGAIN(_KINDS(command))


def seen_chosen(again: str, kinds: str) -> SeenRules:
    """Parse the values of --seen-again and --seen-kinds. Raises `click.UsageError`."""
    try:
        return seen_rules(again, kinds)
    except ValueError as error:
        raise click.UsageError(f"--seen-again and --seen-kinds: {error}.") from None


def connection() -> dict[str, Any]:
    """Encryption and login for an aiokafka client, from the same environment variables as the worker's."""
    from streams.kafka.connection import client_options
    from streams.settings import read_settings

    return client_options(read_settings().kafka)


class WithSettings(click.Command):
    """A command whose help ends with its main settings and their current values."""

    settings: tuple[str, ...] = MAIN_SETTINGS

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from streams.errors import BadSetting
        from streams.settings import Settings, all_settings, read_settings, values_of

        try:
            now = values_of(read_settings())
        except BadSetting:
            now = values_of(Settings())
        settings = list(all_settings())
        rows = []
        for each in settings:
            if each.name in self.settings:
                meaning = each.doc.partition(". ")[0].rstrip(".")
                rows.append((each.variable, f"{meaning}.  [{now[each.name]}]"))
        with formatter.section("Main settings (environment variables) and their current values"):
            formatter.write_dl(rows)
        with formatter.section("All settings"):
            formatter.write_text(f"docs/reference/settings.md describes all {len(settings)}, with their bounds.")
