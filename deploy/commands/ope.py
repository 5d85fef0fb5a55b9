"""`ouzel ope`."""

from pathlib import Path

import click

from deploy.commands.learn import REPOSITORY, VERSIONS
from deploy.commands.options import BROKERS, TIMEOUT, connection, seen_chosen, seen_options
from deploy.commands.parameters import InFile, OutFile, Real
from deploy.local.progress import telling
from deploy.local.terminal import Terminal

ROLES = ("item", "reward", "propensity", "list", "position", "user")


def _columns(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        role, equals, name = text.partition("=")
        if role not in ROLES or not equals or not name:
            raise click.BadParameter(f"{text!r} is not ROLE=NAME with one of the roles {', '.join(ROLES)}.")
        found[role] = name
    return found


@click.command()
@click.option(
    "--log",
    metavar="ROOT",
    envvar="OUZEL_TRAINING_LOG",
    show_envvar=True,
    help="Evaluate on this training log: a folder, or s3://BUCKET/PREFIX.",
)
@click.option("--decisions", metavar="FILE", type=InFile(), help="Instead: a file of logged decisions.")
@click.option(
    "--target",
    "targets",
    metavar="POLICY",
    multiple=True,
    show_default="no-model and popularity",
    help="no-model, popularity, version:N of the store, or NAME=FILE with target probabilities. May be repeated.",
)
@click.option(
    "--places",
    metavar="N",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Evaluate the first N places of each list. More places need many more lists.",
)
@click.option(
    "--temperature",
    metavar="X",
    type=Real(0.01, 10),
    default=0.5,
    show_default=True,
    help="How far targets that have scores explore; as OUZEL_EXPLORATION_TEMPERATURE.",
)
@click.option(
    "--clip", metavar="X", type=Real(1, 1e6), default=100.0, show_default=True, help="Largest clipped weight."
)
@click.option(
    "--effective",
    metavar="N",
    type=click.IntRange(2, 1_000_000),
    default=100,
    show_default=True,
    help="No verdict with a smaller effective sample.",
)
@click.option("--anytime", is_flag=True, help="Also print bounds that hold at every length of the log.")
@click.option(
    "--column",
    "columns",
    metavar="ROLE=NAME",
    multiple=True,
    callback=_columns,
    show_default="guessed",
    help=f"With --decisions: the column of a role ({', '.join(ROLES)}). May be repeated.",
)
@click.option("--items", type=InFile(), show_default="ouzel.items", help="With --log: a file with the catalogue.")
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    help="With --log: newest days.",
)
@click.option(
    "--newest",
    metavar="N",
    type=click.IntRange(10, 1_000_000),
    default=20_000,
    show_default=True,
    help="With --log: at most the newest N lists.",
)
@click.option(
    "--window",
    metavar="SECONDS",
    type=Real(0.001, 31_536_000),
    default=1_800.0,
    show_default=True,
    help="With --log: how long a reaction counts, as OUZEL_ATTRIBUTION_WINDOW_MS. Newer lists are left out.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the resampling and of the parts of the reward model.",
)
@click.option("--json", "json_file", metavar="FILE", type=OutFile(), help="Also write the report as JSON.")
@VERSIONS
@REPOSITORY
@BROKERS
@TIMEOUT
@seen_options
def ope(
    log: str | None,
    decisions: Path | None,
    targets: tuple[str, ...],
    places: int,
    temperature: float,
    clip: float,
    effective: int,
    anytime: bool,
    columns: dict[str, str],
    items: Path | None,
    days: int,
    newest: int,
    window: float,
    seed: int,
    json_file: Path | None,
    versions: Path,
    repository: Path,
    brokers: str,
    timeout: float,
    seen_again: str,
    seen_kinds: str,
) -> None:
    """Estimate from logs what another policy would have earned, without showing it to anyone.

    Needs logs with exploration: each entry with the probability with which it was chosen. Says what the log cannot
    tell. See docs/guide/off-policy-evaluation.md.
    """
    import asyncio
    from dataclasses import replace
    from datetime import UTC, datetime

    import msgspec

    from deploy.evaluation.live_ranking import SETTINGS
    from deploy.learning.catalogue import read_catalogue
    from deploy.off_policy.report import as_json, tables
    from deploy.off_policy.run import compare_file, compare_log, parsed
    from deploy.off_policy.training_log import catalogue_of, read_training_log
    from inference.off_policy.comparison import Options
    from inference.off_policy.diagnosis import Needs
    from inference.versions.store import VersionStore

    if decisions is None and log is None:
        raise click.UsageError("give --log ROOT or --decisions FILE")
    if decisions is not None and items is not None:
        raise click.UsageError("--items goes with --log, not with --decisions")
    if decisions is None and columns:
        raise click.UsageError("--column goes with --decisions")
    seen = seen_chosen(seen_again, seen_kinds)
    asked = parsed(targets, temperature, of_file=decisions is not None)
    options = Options(clip, Needs(effective=effective), anytime)
    if decisions is not None:
        with telling(f"evaluating on {decisions}"):
            found, read = compare_file(decisions, asked, options, seed, columns=columns, places=places)
    else:
        assert log is not None
        with telling(f"evaluating on {log}"):
            known = (
                catalogue_of(items)
                if items is not None
                else asyncio.run(read_catalogue(brokers, connection(), timeout))
            )
            logged = read_training_log(
                log,
                known,
                today=datetime.now(UTC).date(),
                days=days,
                newest=newest,
                places=places,
                window_ms=int(window * 1000),
            )
            read = logged.log
            found = compare_log(
                logged,
                asked,
                options,
                seed,
                store=VersionStore(versions),
                repository=repository,
                settings=replace(SETTINGS, seen=seen),
            )
    console = Terminal()
    for part in tables(found, read.note, read.items.shape[1]):
        console.print(part)
    if json_file is not None:
        report = as_json(found, read.note, read.items.shape[1])
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
