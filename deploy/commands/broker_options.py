"""The options that every command has which talks to brokers, and the help of the one that has none: the worker."""

import os
from typing import Any

import click

from deploy.errors import DeployError

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
"""The settings of a worker that its help names."""


class FromEnvironment(click.Option):
    """An option whose help shows as its default what the environment gives."""

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        given = os.environ.get(self.envvar) if isinstance(self.envvar, str) else None
        return given or super().get_default(ctx, call=call)


def _addresses(context: click.Context, option: click.Parameter, text: str) -> str:
    """The addresses as given; `DeployError` if one is no host:port. Without a port, Kafka's usual one is meant."""
    for address in text.split(","):
        host, colon, port = address.strip().rpartition(":")
        named = host if colon else port
        if not named or "/" in address or (colon and not (port.isdecimal() and 0 < int(port) < 65_536)):
            raise DeployError(f"--brokers (OUZEL_BROKERS) takes host:port, comma-separated, not {address.strip()!r}.")
    return text


BROKERS = click.option(
    "--brokers",
    cls=FromEnvironment,
    envvar="OUZEL_BROKERS",
    default="127.0.0.1:9092",
    show_default=True,
    callback=_addresses,
    help="host:port, comma-separated; OUZEL_BROKERS where it is set.",
)
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds to wait for brokers that do not answer.",
)


class WithSettings(click.Command):
    """A command whose help ends with the main settings of a worker, as they are now."""

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
            if each.name in MAIN_SETTINGS:
                meaning = each.doc.partition(". ")[0].rstrip(".")
                rows.append((each.variable, f"{meaning}.  [{now[each.name]}]"))
        with formatter.section("Settings: environment variables, and what they are now"):
            formatter.write_dl(rows)
        with formatter.section("All settings"):
            formatter.write_text(f"{len(settings)}, with bounds and meaning, in docs/reference/settings.md.")
