"""`ouzel demo`."""

import sys
from pathlib import Path

import click

from deploy.commands.options import WORK, seen_chosen, seen_options
from deploy.commands.parameters import OutFile, Real
from deploy.local.terminal import Terminal


@click.command()
@click.option(
    "--seconds", metavar="SECONDS", type=Real(min=1), show_default="until Ctrl-C", help="Length of the live part."
)
@click.option(
    "--speed",
    metavar="N",
    type=Real(min=0.1),
    show_default="as fast as the model allows",
    help="Send N live events per second.",
)
@click.option(
    "--history",
    metavar="SHARE",
    type=Real(0, 0.99),
    default=0.9,
    show_default=True,
    help="Share of the ratings, the oldest, to send as history.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 16), default=1, show_default=True, help="Workers to start."
)
@click.option(
    "--broker",
    type=click.Choice(["embedded", "kafka"]),
    default="embedded",
    show_default=True,
    help="Broker to start: the embedded one, or Apache Kafka from KAFKA_HOME.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed for the order of ratings from the same second.",
)
@click.option("--learn/--no-learn", default=True, show_default=True, help="Make new versions of the model meanwhile.")
@click.option("--json", "json_file", metavar="FILE", type=OutFile(), help="Also write a summary here.")
@seen_options
def demo(
    seconds: float | None,
    speed: float | None,
    history: float,
    workers: int,
    broker: str,
    seed: int,
    learn: bool,
    json_file: Path | None,
    seen_again: str,
    seen_kinds: str,
) -> None:
    """Replay real film ratings through the whole pipeline and watch the lists.

    Starts a broker, tritonserver and workers on this machine, and stops them at the end.
    """
    from deploy.demo.demo import Options, run

    options = Options(
        seconds=seconds,
        events_per_second=speed,
        history=history,
        workers=workers,
        broker=broker,
        seed=seed,
        learn=learn,
        work=WORK,
        json=json_file,
        seen_again=seen_again,
        seen_kinds=seen_kinds,
    )
    seen_chosen(seen_again, seen_kinds)
    sys.exit(run(options, Terminal()))
