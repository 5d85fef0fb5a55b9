"""The command line. Each command imports what it needs when it runs, so that `ouzel --help` is instant."""

import asyncio
import logging
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from deploy.commands.broker_options import BROKERS, TIMEOUT, WithSettings
from deploy.commands.column_options import chosen, column_options
from deploy.commands.inspect_file import inspect_file
from deploy.commands.parameters import Id, InFile, OutFile, Real
from deploy.commands.seen_options import seen_chosen, seen_options
from deploy.commands.train import train
from deploy.commands.triton import triton
from deploy.local.progress import telling, told_by_bars
from deploy.local.terminal import Terminal, say, say_json
from schemas.shown import shown
from streams.private import private_file

WORK = Path(".ouzel")
"""Where models, logs and state go unless told otherwise."""

FAULTS = WORK / "fault.log"
"""The traceback of the last fault in the code."""

PARTITIONS = click.IntRange(1, 10_000)
FILE, ID = InFile(), Id()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ouzel", prog_name="ouzel")
@click.pass_context
def cli(context: click.Context) -> None:
    """Ouzel: live, explainable recommendations from Kafka events.

    Start with `ouzel demo`. For your own events: `ouzel topics create`, `ouzel triton serve`, `ouzel worker`, and
    producers that write to ouzel.events; lists come out on ouzel.recommendations.
    """
    if context.invoked_subcommand != "worker":
        # A worker's log is for its operator; a user of a command is told what matters, in a sentence.
        for name in ("aiokafka", "asyncio"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False


@cli.command(cls=WithSettings)
def worker() -> None:
    """Run one worker, until SIGTERM or Ctrl-C. Its settings are environment variables."""
    from deploy.worker import run

    sys.exit(run())


@cli.group()
def topics() -> None:
    """Make Ouzel's topics, or list how they are."""


@topics.command("create")
@BROKERS
@click.option(
    "--events-partitions", type=PARTITIONS, default=4, show_default=True, help="How many workers can share the people."
)
@click.option(
    "--items-partitions",
    type=PARTITIONS,
    default=4,
    show_default=True,
    help="How many can share the counting of items.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Copies of each record; 3 in production.",
)
@TIMEOUT
def topics_create(
    brokers: str, events_partitions: int, items_partitions: int, replication: int, timeout: float
) -> None:
    """Make every topic that is not there yet. The number of partitions cannot be changed later."""
    from deploy.kafka.topics import create

    made = asyncio.run(
        create(
            brokers,
            events_partitions=events_partitions,
            items_partitions=items_partitions,
            replication=replication,
            connection=_connection(),
            timeout=timeout,
        )
    )
    for name in made:
        say(f"made {name}")
    say(f"{len(made)} made, the others were there")


@topics.command("list")
@BROKERS
@TIMEOUT
def topics_list(brokers: str, timeout: float) -> None:
    """Show each topic with its partitions and how it is kept."""
    from deploy.kafka.topics import describe

    unknown = "? (that needs the right DescribeConfigs)"
    for topic in asyncio.run(describe(brokers, _connection(), timeout)):
        partitions = f"{topic.partitions} partitions" if topic.partitions else "missing: `ouzel topics create` makes it"
        policy = topic.policy or (unknown if topic.partitions else "?")
        say(f"{topic.name:28} {partitions:16} {policy:8} {'internal' if topic.internal else ''}")


@cli.command()
@click.argument("topic")
@BROKERS
@click.option("--key", type=ID, help="Only the records of this key: a user's or an item's id.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@TIMEOUT
def read(topic: str, brokers: str, key: str | None, follow: bool, timeout: float) -> None:
    """Print what is on TOPIC (recommendations, feedback, dead-letters, ...), a line of JSON a record."""
    from deploy.kafka.reader import named, read

    with suppress(KeyboardInterrupt):
        asyncio.run(
            read(brokers, named(topic), say_json, key=key, follow=follow, connection=_connection(), timeout=timeout)
        )


@cli.command()
@click.argument("user", type=ID)
@click.pass_context
def pseudonym(context: click.Context, user: str) -> None:
    """Print the name under which USER is kept with the OUZEL_PSEUDONYM_KEY of the environment.

    "-" reads ids from standard input, a line each, and prints a line for each.
    """
    from streams.privacy.pseudonyms import alias_with
    from streams.settings import read_settings

    alias = alias_with(read_settings().privacy.pseudonym_key.reveal())
    for each in ID.read(context) if user == "-" else [user]:
        say(alias(each))


@cli.command()
@click.argument("user", type=ID)
@BROKERS
@click.option(
    "--order", "order_id", type=ID, help="The order's id: again with the same one, it does no harm. [default: drawn]"
)
@click.option("--timeout", type=Real(min=0), default=60.0, show_default=True, help="Seconds to wait.")
@click.pass_context
def forget(context: click.Context, user: str, brokers: str, order_id: str | None, timeout: float) -> None:
    """Have the workers clear everything of USER, and print the receipt as a line of JSON.

    USER is the id as it stands in the events; "-" reads it from standard input, so that it is in no list of processes.
    Ends with 1 if no receipt came in time: the order stands, and the receipt will be on ouzel.privacy-receipts.
    """
    import uuid

    import msgspec

    from deploy.kafka.erasure import order
    from schemas.privacy import ErasureOrder
    from streams.clock import SYSTEM

    if user == "-":
        user = next(ID.read(context), "")
    erasure = ErasureOrder(id=order_id or uuid.uuid4().hex, user=user, ts=SYSTEM.now_ms())
    receipt = asyncio.run(order(brokers, erasure, timeout=timeout, connection=_connection()))
    if receipt is None:
        say(f"order {erasure.id} is sent; no receipt within {timeout:g} s. Does a worker run?", err=True)
        sys.exit(1)
    say_json(msgspec.json.encode(receipt).decode())


@cli.command()
@BROKERS
@click.option("--items", type=FILE, help="The catalogue: CSV, JSON or Parquet, see docs/guide/files.md.")
@click.option("--events", type=FILE, help="Events: CSV, JSON or Parquet.")
@click.option("--speed", type=Real(min=0.01), help="Events a second.")
@click.option("--factor", type=Real(min=0.01), help="Times as fast as it happened. [default: at once]")
@click.option("--history", type=Real(0, 1), default=0.0, show_default=True, help="Share sent as past.")
@click.option("--limit", type=click.IntRange(1), help="The first rows of the events only.")
@column_options
@click.option(
    "--watch", is_flag=True, help="Show the live part and its lists as the demo does, judged beside baselines."
)
@click.option("--seconds", type=Real(min=1), help="With --watch: how long. [default: all events]")
@click.option("--json", "json_file", type=OutFile(), help="With --watch: also write the summary here.")
@seen_options
@TIMEOUT
def replay(
    brokers: str,
    items: Path | None,
    events: Path | None,
    speed: float | None,
    factor: float | None,
    history: float,
    limit: int | None,
    watch: bool,
    seconds: float | None,
    json_file: Path | None,
    seen_again: str,
    seen_kinds: str,
    timeout: float,
    **columns: Any,
) -> None:
    """Send a catalogue and recorded events from files to any brokers, in time order, at any speed.

    Columns with usual names are found by themselves. A share of the events can be sent as past: at full speed, and too
    old to be answered with lists.
    """
    from deploy.replay.files import Files, replay_files
    from deploy.replay.send import Pace
    from deploy.replay.watch import tell_summary

    if speed is not None and factor is not None:
        raise click.UsageError("--speed and --factor exclude each other")
    event_columns, item_columns = chosen(columns)
    files = Files(
        events=events,
        items=items,
        event_columns=event_columns,
        item_columns=item_columns,
        pace=Pace(events_per_second=speed, factor=factor),
        history=history,
        seen=seen_chosen(seen_again, seen_kinds),
        limit=limit,
    )
    out = Terminal()
    sent = asyncio.run(
        replay_files(brokers, files, out, _connection(), watched=watch, seconds=seconds, timeout=timeout)
    )
    if sent.figures is not None:
        tell_summary(sent.figures, out, json_file)
    say(f"{sent.items:,} items, {sent.history:,} events as past, {sent.live:,} live")


@cli.command()
@click.option(
    "--events", type=FILE, help="Events: CSV, JSON or Parquet, see docs/guide/files.md. [default: MovieLens-100K]"
)
@click.option("--items", type=FILE, help="The catalogue, with titles.")
@column_options
@click.option(
    "--seeds", type=click.IntRange(1, 20), default=3, show_default=True, help="Orders of ties to average over."
)
@click.option("--protocols", default="prequential,leave_last_out", show_default=True, help="Which, with commas.")
@click.option("--limit", type=click.IntRange(100), help="The first events only; of a file its first rows.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="At work at once.")
@click.option("--without-model", is_flag=True, help="Train nothing: the blend alone and the simple methods.")
@click.option("--no-sasrec", is_flag=True, help="Do not train SASRec.")
@click.option("--json", "json_file", type=OutFile(), help="Also write the report here.")
@click.option("--html", "html_file", type=OutFile(), help="Also write it here as a page with plots.")
@seen_options
def evaluate(
    events: Path | None,
    items: Path | None,
    seeds: int,
    protocols: str,
    limit: int | None,
    processes: int,
    without_model: bool,
    no_sasrec: bool,
    json_file: Path | None,
    html_file: Path | None,
    seen_again: str,
    seen_kinds: str,
    **columns: Any,
) -> None:
    """Measure the lists offline beside the methods that they have to beat; models are trained on the past only.

    On MovieLens-100K, or on events and items of your own: columns with usual names are found by themselves.
    """
    # Read when numpy and torch are imported: threads that wait by spinning take the cores from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from deploy.datasets.dataset import films, from_files
    from deploy.evaluation.evaluate import Options
    from deploy.evaluation.evaluate import evaluate as measure
    from deploy.evaluation.jobs import PROTOCOLS
    from deploy.evaluation.live_ranking import SETTINGS
    from deploy.files.report import printed

    named = tuple(protocol for protocol in PROTOCOLS if protocol in protocols.split(","))
    if not named or set(protocols.split(",")) - set(PROTOCOLS):
        raise click.UsageError(f"--protocols takes one or both of {', '.join(PROTOCOLS)}")
    if items is not None and events is None:
        raise click.UsageError("--items needs --events")
    options = Options(
        seeds=seeds,
        protocols=named,
        processes=processes,
        limit=limit,
        model=not without_model,
        sasrec=not (no_sasrec or without_model),
        settings=replace(SETTINGS, seen=seen_chosen(seen_again, seen_kinds)),
    )
    tell = printed(Terminal())
    with telling(f"reading {events or 'MovieLens-100K'}"):
        dataset = films() if events is None else from_files(events, items, *chosen(columns), limit=limit, tell=tell)
    learner = None
    with told_by_bars(by_label=True) as progress:
        if options.kinds:
            from deploy.evaluation.learners import learner as make

            learner = make(dataset.items, WORK, progress, processes)
        measure(
            dataset, options, learner=learner, json=json_file, html=html_file, progress=progress, console=Terminal()
        )


def _connection() -> dict[str, Any]:
    """How to reach the brokers, beside their address: the worker's own settings for encryption and login."""
    from streams.kafka.connection import client_options
    from streams.settings import read_settings

    return client_options(read_settings().kafka)


cli.add_command(inspect_file)
cli.add_command(train)
cli.add_command(triton)


@cli.command()
@click.option("--seconds", type=Real(min=1), help="How long to replay live. [default: until Ctrl-C]")
@click.option("--speed", type=Real(min=0.1), help="Live events a second. [default: as the model can]")
@click.option("--history", type=Real(0, 0.99), default=0.8, show_default=True, help="Share sent as past.")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Workers to start.")
@click.option("--broker", type=click.Choice(["embedded", "kafka"]), default="embedded", show_default=True)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of ratings that carry the same second."
)
@click.option("--json", "json_file", type=OutFile(), help="Also write the summary here.")
@seen_options
def demo(
    seconds: float | None,
    speed: float | None,
    history: float,
    workers: int,
    broker: str,
    seed: int,
    json_file: Path | None,
    seen_again: str,
    seen_kinds: str,
) -> None:
    """Replay real people's film ratings through a broker, a worker and a tritonserver, and watch the lists."""
    from deploy.demo.demo import Options, run

    options = Options(
        seconds=seconds,
        events_per_second=speed,
        history=history,
        workers=workers,
        broker=broker,
        seed=seed,
        work=WORK,
        json=json_file,
        seen_again=seen_again,
        seen_kinds=seen_kinds,
    )
    seen_chosen(seen_again, seen_kinds)
    sys.exit(run(options, Terminal()))


def main() -> None:
    """The entry point, and the one place where failures become sentences: nobody is shown a traceback.

    A fault in the code is one too; its traceback is kept for the report.
    """
    from deploy.errors import expected

    try:
        sys.exit(cli(prog_name="ouzel", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.message = shown(error.message)
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        say("Aborted!", err=True)
        sys.exit(1)
    except Exception as error:
        told = Text.assemble(("ouzel:", "red"), " ", shown(expected(error) or _fault(error)))
        Terminal(stderr=True).print(told, soft_wrap=True)
        sys.exit(1)


def _fault(error: Exception) -> str:
    """What to say of a fault in the code."""
    told = "".join(traceback.format_exception(error))
    try:
        WORK.mkdir(exist_ok=True)
        with open(FAULTS, "w", encoding="utf-8", opener=private_file) as file:
            file.write(told)
    except OSError:
        return f"this is a fault in Ouzel, please report it:\n{told}"
    return f"{type(error).__name__}: this is a fault in Ouzel; please report it with {FAULTS}"


if __name__ == "__main__":
    main()
