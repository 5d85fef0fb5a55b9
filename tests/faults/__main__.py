"""The command: inject faults on a schedule, and report the results.

python -m tests.faults --faults 100 --json faults.json
"""

import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

import click

from deploy.errors import DeployError
from tests.faults.report import page, summary
from tests.faults.running import BROKERS, Options, run
from tests.faults.schedule import Kind


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--faults", default=100, show_default=True, type=click.IntRange(1), help="Number of faults over all brokers."
)
@click.option("--seed", default=1, show_default=True, help="Seed of the schedule.")
@click.option(
    "--broker",
    type=click.Choice(sorted(BROKERS)),
    help="Use only this broker. [default: half of the faults on each, one after the other]",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Only this kind; repeatable. [default: all kinds that this machine supports]",
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures to this file.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the logs in this folder. [default: a temporary folder, printed if a promise was broken]",
)
def main(  # noqa: PLR0917 - options are its arguments
    faults: int, seed: int, broker: str | None, kinds: tuple[str, ...], file: Path | None, keep: Path | None
) -> None:
    """Run the pipeline under load, inject faults on a seeded schedule, and compare with an undisturbed fold of the
    input.

    Exits with status 1 if a promise was broken: an accepted event lost or folded twice, a refused one without a dead
    letter, a user without a list in time, a worker that did not recover. Finds Apache Kafka through KAFKA_HOME.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the harness's clients log every lost connection
    folder = keep or Path(tempfile.mkdtemp(prefix="ouzel-faults-"))
    options = Options(
        faults=faults,
        brokers=[broker] if broker else list(BROKERS),
        kinds=[Kind(kind) for kind in kinds] or list(Kind),
        seed=seed,
    )
    try:
        sessions = asyncio.run(run(folder, options, _say))
    except DeployError as error:
        raise click.ClickException(str(error)) from error
    click.echo(page(sessions))
    if file is not None:
        file.write_text(json.dumps(summary(sessions), indent=2) + "\n")
    if any(session.broken for session in sessions):
        _say(f"the logs are in {folder}; repeat the run with --seed {seed}")
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
