"""The command line. Each command imports what it needs when it runs, so that `ouzel --help` is instant."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from schemas.events import EventKind

WORK = Path(".ouzel")
"""Where models, logs and state go unless told otherwise."""

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
console = Console(stderr=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ouzel", prog_name="ouzel")
def cli() -> None:
    """Ouzel: live, explainable recommendations from Kafka events.

    Start with `ouzel demo`. For your own events: `ouzel topics create`, `ouzel triton serve`, `ouzel worker`, and
    producers that write to ouzel.events; lists come out on ouzel.recommendations.
    """


@cli.command()
def worker() -> None:
    """Run one worker, until SIGTERM or Ctrl-C. Its settings are environment variables: see docs/settings.md."""
    from deploy.worker import run

    sys.exit(run())


@cli.group()
def topics() -> None:
    """Make Ouzel's topics, or list how they are."""


BROKERS = click.option(
    "--brokers", envvar="OUZEL_BROKERS", default="127.0.0.1:9092", show_default=True, help="host:port, comma-separated."
)


@topics.command("create")
@BROKERS
@click.option("--events-partitions", default=4, show_default=True, help="How many workers can share the people.")
@click.option("--items-partitions", default=4, show_default=True, help="How many can share the counting of items.")
@click.option("--replication", default=1, show_default=True, help="Copies of each record; 3 in production.")
def topics_create(brokers: str, events_partitions: int, items_partitions: int, replication: int) -> None:
    """Make every topic that is not there yet. The number of partitions cannot be changed later."""
    from deploy.topics import create

    made = asyncio.run(
        create(
            brokers,
            events_partitions=events_partitions,
            items_partitions=items_partitions,
            replication=replication,
            connection=_connection(),
        )
    )
    for name in made:
        click.echo(f"made {name}")
    click.echo(f"{len(made)} made, the others were there")


@topics.command("list")
@BROKERS
def topics_list(brokers: str) -> None:
    """Show each topic with its partitions and how it is kept."""
    from deploy.topics import describe

    for topic in asyncio.run(describe(brokers, _connection())):
        partitions = f"{topic.partitions} partitions" if topic.partitions else "missing: `ouzel topics create` makes it"
        click.echo(f"{topic.name:28} {partitions:16} {topic.policy or '?':8} {'internal' if topic.internal else ''}")


@cli.command()
@click.argument("topic")
@BROKERS
@click.option("--key", help="Only the records of this key: a user's or an item's id.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
def read(topic: str, brokers: str, key: str | None, follow: bool) -> None:
    """Print what is on TOPIC (recommendations, feedback, dead-letters, ...), a line of JSON a record."""
    from deploy.reading import named, read

    with suppress(KeyboardInterrupt):
        asyncio.run(read(brokers, named(topic), click.echo, key=key, follow=follow))


@cli.command()
@BROKERS
@click.option("--items", type=FILE, help="The catalogue: CSV, TSV or Parquet.")
@click.option("--events", type=FILE, help="What people did: CSV, TSV or Parquet.")
@click.option("--speed", type=click.FloatRange(min=0.01), help="Events a second.")
@click.option("--factor", type=click.FloatRange(min=0.01), help="Times as fast as it happened. [default: at once]")
@click.option("--history", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share sent as past.")
@click.option("--user-column", help="Column of the person.")
@click.option("--item-column", help="Column of the item, in both files.")
@click.option("--time-column", help="Column of the time: seconds, milliseconds or ISO 8601.")
@click.option("--rating-column", help="Column of the rating, which makes rate events.")
@click.option("--rating-max", type=float, default=5.0, show_default=True, help="The best rating there is.")
@click.option("--kind-column", help="Column of the kind of event.")
@click.option("--kind", type=click.Choice([kind.value for kind in EventKind]), help="One kind for all events.")
@click.option("--map-kind", multiple=True, metavar="FROM=KIND", help="What a value of the kind column means.")
@click.option("--title-column", help="Column of the item's title.")
@click.option("--text-column", help="Column of the item's text.")
@click.option("--attribute-column", multiple=True, help="Column of the item's attributes; may be given again.")
@click.option("--separator", default="|", show_default=True, help="Between attributes in one column.")
@click.option("--scene", default="default", show_default=True, help="The scene of all events.")
@click.option(
    "--watch", is_flag=True, help="Show the live part and its lists as the demo does, judged beside baselines."
)
@click.option("--seconds", type=click.FloatRange(min=1), help="With --watch: how long. [default: all events]")
@click.option("--json", "json_file", type=PATH, help="With --watch: also write the summary here.")
def replay(
    brokers: str,
    items: Path | None,
    events: Path | None,
    speed: float | None,
    factor: float | None,
    history: float,
    user_column: str | None,
    item_column: str | None,
    time_column: str | None,
    rating_column: str | None,
    rating_max: float,
    kind_column: str | None,
    kind: str | None,
    map_kind: tuple[str, ...],
    title_column: str | None,
    text_column: str | None,
    attribute_column: tuple[str, ...],
    separator: str,
    scene: str,
    watch: bool,
    seconds: float | None,
    json_file: Path | None,
) -> None:
    """Send a catalogue and recorded events from files to any brokers, in time order, at any speed.

    Columns with usual names are found by themselves. A share of the events can be sent as past: at full speed, and too
    old to be answered with lists.
    """
    from deploy.file_replay import Files, replay_files
    from deploy.replay import Pace
    from deploy.sources import EventColumns, ItemColumns
    from deploy.watch import tell_summary

    if speed is not None and factor is not None:
        raise click.UsageError("--speed and --factor exclude each other")
    kinds = dict(_kinds(pair) for pair in map_kind)
    files = Files(
        events=events,
        items=items,
        event_columns=EventColumns(
            user=user_column,
            item=item_column,
            time=time_column,
            rating=rating_column,
            kind=kind_column,
            fixed=EventKind(kind) if kind else None,
            kinds=kinds,
            rating_max=rating_max,
            scene=scene,
        ),
        item_columns=ItemColumns(
            item=item_column,
            title=title_column,
            text=text_column,
            attributes=attribute_column or None,
            separator=separator,
        ),
        pace=Pace(events_per_second=speed, factor=factor),
        history=history,
    )
    out = Console()
    sent = asyncio.run(replay_files(brokers, files, out, _connection(), watched=watch, seconds=seconds))
    if sent.figures is not None:
        tell_summary(sent.figures, out, json_file)
    click.echo(f"{sent.items:,} items, {sent.history:,} events as past, {sent.live:,} live")
    for what, rows in (("items", sent.item_rows), ("events", sent.event_rows)):
        if rows.bad:
            click.echo(f"{what}: {rows}")


def _kinds(pair: str) -> tuple[str, EventKind]:
    given, _, kind = pair.partition("=")
    try:
        return given, EventKind(kind)
    except ValueError:
        raise click.UsageError(f"--map-kind takes FROM=KIND with a kind of {', '.join(EventKind)}") from None


@cli.command()
@click.option(
    "--seeds", type=click.IntRange(1, 20), default=3, show_default=True, help="Orders of ties to average over."
)
@click.option("--json", "json_file", type=PATH, help="Also write the report here.")
@click.option(
    "--model-lists", type=click.IntRange(0), default=150, show_default=True, help="Lists a seed that the model scores."
)
def evaluate(seeds: int, json_file: Path | None, model_lists: int) -> None:
    """Measure the lists offline on MovieLens-100K, test then learn, beside the methods that they have to beat."""
    from deploy.evaluate import evaluate as measure
    from deploy.evaluate import in_process
    from inference.repository import build
    from inference.settings import ModelSettings

    scorer = None
    if model_lists:
        with _progress() as progress:
            scorer = in_process(build(WORK / "models" / "repository", ModelSettings(), progress))
    with _progress(by_label=True) as progress:
        measure(
            seeds=seeds,
            json=json_file,
            scorer=scorer,
            model_lists=model_lists,
            progress=progress,
            console=Console(),
        )


def _connection() -> dict[str, Any]:
    """How to reach the brokers, beside their address: the worker's own settings for encryption and login."""
    from streams.connection import client_options
    from streams.settings import read_settings

    return client_options(read_settings())


@contextmanager
def _progress(*, by_label: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (label, done, total) that draws one bar that tells what is being done, or a bar for each label."""
    columns = (BarColumn(bar_width=30), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(label: str, done: int, total: int) -> None:
            key = label if by_label else ""
            if key not in tasks:
                tasks[key] = bars.add_task(label, total=total)
            bars.update(tasks[key], description=label, completed=done, total=total)

        yield advance


@cli.group()
def triton() -> None:
    """Build the model that scores lists, and serve it with the tritonserver of the nvidia-pytriton package."""


REPOSITORY = click.option(
    "--repository", type=PATH, default=WORK / "models" / "repository", show_default=True, help="The model repository."
)
ENVIRONMENT = click.option(
    "--environment",
    type=PATH,
    default=WORK / "models" / "environment",
    show_default=True,
    help="The Python environment of Triton's models (numpy 1.26), made beside this one.",
)


@triton.command("build")
@REPOSITORY
@ENVIRONMENT
@click.option("--source", default="smollm2", show_default=True, help="smollm2, a folder of a model, or a hub name.")
@click.option("--dtype", type=click.Choice(["bf16", "fp32"]), help="Number format. [default: what the model's has]")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads of one pass.")
def triton_build(repository: Path, environment: Path, source: str, dtype: str | None, threads: int) -> None:
    """Convert the weights, write the model repository, make the environment. What is there already is kept."""
    from inference.repository import build
    from inference.settings import ModelSettings

    chosen = {"source": source, "threads": threads, **({"dtype": dtype} if dtype else {})}
    with _progress() as progress:
        build(repository, ModelSettings.make(**chosen), progress, environment=environment)
    click.echo(f"{repository} is ready; serve it with `ouzel triton serve`")


@triton.command("serve")
@REPOSITORY
@ENVIRONMENT
@click.option("--grpc-port", type=int, help="Port for workers. [default: a free one]")
@click.option("--http-port", type=int, help="Port for health checks. [default: a free one]")
@click.option("--metrics-port", type=int, help="Port for Prometheus. [default: a free one]")
@click.option("--log", type=PATH, default=WORK / "triton.log", show_default=True, help="Where the server's log goes.")
def triton_serve(
    repository: Path,
    environment: Path,
    grpc_port: int | None,
    http_port: int | None,
    metrics_port: int | None,
    log: Path,
) -> None:
    """Serve the built model on loopback until SIGTERM or Ctrl-C."""
    from deploy.processes import guard
    from inference.server import TritonServer, serve

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def tell(server: TritonServer) -> None:
        click.echo(f"grpc {server.grpc}  http {server.http}  metrics {server.metrics}  log {log}")
        click.echo(f"workers find it by OUZEL_TRITON={server.grpc}; Ctrl-C stops it")

    serve(
        repository,
        environment,
        log=log,
        on_ready=tell,
        stopping=stopping,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        on_started=guard,
    )


@cli.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="How long to replay live. [default: until Ctrl-C]")
@click.option("--speed", type=click.FloatRange(min=0.1), help="Live events a second. [default: as the model can]")
@click.option("--history", type=click.FloatRange(0, 0.99), default=0.8, show_default=True, help="Share sent as past.")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Workers to start.")
@click.option("--broker", type=click.Choice(["embedded", "kafka"]), default="embedded", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Order of ratings that carry the same second.")
@click.option("--json", "json_file", type=PATH, help="Also write the summary here.")
def demo(
    seconds: float | None,
    speed: float | None,
    history: float,
    workers: int,
    broker: str,
    seed: int,
    json_file: Path | None,
) -> None:
    """Replay real people's film ratings through a broker, a worker and a tritonserver, and watch the lists."""
    from deploy.demo import Options, run

    options = Options(
        seconds=seconds,
        events_per_second=speed,
        history=history,
        workers=workers,
        broker=broker,
        seed=seed,
        work=WORK,
        json=json_file,
    )
    sys.exit(run(options, Console()))


def main() -> None:
    """The entry point: what Ouzel raises on purpose is said in one line, and nothing else is caught."""
    from deploy.errors import DeployError

    known: list[type[Exception]] = [DeployError]
    with suppress(ImportError):
        from inference.errors import InferenceError

        known.append(InferenceError)
    with suppress(ImportError):
        from streams.errors import StreamsError

        known.append(StreamsError)
    try:
        cli(prog_name="ouzel")
    except tuple(known) as error:
        console.print(f"[red]ouzel:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
