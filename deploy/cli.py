"""The command line. Each command imports what it needs when it runs, so that `ouzel --help` is instant."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WORK = Path(".ouzel")
"""Where models, logs and state go unless told otherwise."""

PATH = click.Path(path_type=Path)
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
        create(brokers, events_partitions=events_partitions, items_partitions=items_partitions, replication=replication)
    )
    for name in made:
        click.echo(f"made {name}")
    click.echo(f"{len(made)} made, the others were there")


@topics.command("list")
@BROKERS
def topics_list(brokers: str) -> None:
    """Show each topic with its partitions and how it is kept."""
    from deploy.topics import describe

    for topic in asyncio.run(describe(brokers)):
        partitions = f"{topic.partitions} partitions" if topic.partitions else "missing: `ouzel topics create` makes it"
        click.echo(f"{topic.name:28} {partitions:16} {topic.policy or '?':8} {'internal' if topic.internal else ''}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback (label, done, total) that draws one bar and tells what is being done."""
    columns = (BarColumn(bar_width=30), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bars:
        task = bars.add_task("", total=1)

        def advance(label: str, done: int, total: int) -> None:
            bars.update(task, description=label, completed=done, total=total)

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
    )


@cli.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="How long to replay live. [default: until Ctrl-C]")
@click.option("--speed", type=click.FloatRange(min=0.1), help="Live events a second. [default: what the model can answer]")
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
