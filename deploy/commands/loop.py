"""`ouzel loop`."""

import os
import shlex
import sys
from pathlib import Path

import click

from deploy.commands.options import WORK
from deploy.commands.parameters import OutFile, OutFolder, Real
from deploy.local.terminal import Terminal


@click.command()
@click.option(
    "--passes",
    metavar="NAMES",
    default="learning,frozen,without_model",
    show_default=True,
    help="Ways to serve the stream, comma-separated.",
)
@click.option(
    "--start",
    metavar="SHARE",
    type=Real(0.01, 0.66),
    default=1 / 3,
    show_default="a third",
    help="Share of the ratings, the oldest, to train the start model on.",
)
@click.option("--limit", metavar="N", type=click.IntRange(300), help="Use only the first N ratings.")
@click.option(
    "--in-flight",
    metavar="N",
    type=click.IntRange(1, 1_000),
    default=6,
    show_default=True,
    help="Maximum users that wait for a list at a time.",
)
@click.option(
    "--window",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="Send no rating more than N ratings before its turn.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 16), default=1, show_default=True, help="Workers to start."
)
@click.option(
    "--broker",
    type=click.Choice(["embedded", "kafka"]),
    show_default="kafka if KAFKA_HOME is set, else embedded",
    help="Broker to start. The embedded one slows down as its topics grow.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed for the order of ratings from the same second.",
)
@click.option("--retrained", is_flag=True, help="Also judge the evaluation's retrained models (tens of minutes).")
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Parallel processes of --retrained.",
)
@click.option(
    "--ahead",
    metavar="N",
    type=click.IntRange(100, 1_000_000),
    default=1_500,
    show_default=True,
    help="With learning: wait for a new version once the replay is N likes ahead of it.",
)
@click.option(
    "--learner",
    metavar="OPTIONS",
    show_default="faster decisions, for a short stream with few users",
    help="Options of `ouzel learn` for the learning pass, in one argument.",
)
@click.option("--reuse", is_flag=True, help="Take passes of an earlier run with the same options.")
@click.option(
    "--work", metavar="FOLDER", type=OutFolder(), default=WORK, show_default=True, help="Folder for models and results."
)
@click.option("--json", "json_file", metavar="FILE", type=OutFile(), help="Also write the report as JSON.")
def loop(
    passes: str,
    start: float,
    limit: int | None,
    in_flight: int,
    window: int,
    workers: int,
    broker: str | None,
    seed: int,
    retrained: bool,
    processes: int,
    ahead: int,
    learner: str | None,
    reuse: bool,
    work: Path,
    json_file: Path | None,
) -> None:
    """Measure what the model and learning are worth on a stream, with real components.

    Replays MovieLens-100K once for each way of serving, at full speed, and judges the lists of the last third on the
    same likes. Starts a broker, tritonserver and workers on this machine, and stops them at the end.
    """
    # Set before numpy and torch are imported: threads that wait by spinning slow down those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from deploy.loop.options import RULES, WITH_MODEL, Options

    named = tuple(name for name in WITH_MODEL if name in passes.split(","))
    if not named or set(passes.split(",")) - set(WITH_MODEL):
        raise click.UsageError(f"--passes takes one or more of {', '.join(WITH_MODEL)}.")
    options = Options(
        passes=named,
        start=start,
        limit=limit,
        in_flight=in_flight,
        window=window,
        workers=workers,
        broker=broker or ("kafka" if os.environ.get("KAFKA_HOME") else "embedded"),
        seed=seed,
        retrained=retrained,
        processes=processes,
        reuse=reuse,
        ahead=ahead,
        rules=RULES if learner is None else tuple(shlex.split(learner)),
        work=work,
        json=json_file,
    )
    from deploy.loop.run import run

    sys.exit(run(options, Terminal()))
