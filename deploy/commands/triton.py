"""`ouzel triton` as it is typed. What it needs is imported when it runs."""

import os
import signal
import threading
from pathlib import Path

import click

from deploy.commands.parameters import InFile, OutFile, OutFolder
from deploy.local.progress import told_by_bars
from deploy.local.terminal import say

PORT = click.IntRange(1, 65_535)
FILE = InFile()
WORK = Path(".ouzel")


@click.group()
def triton() -> None:
    """Build the model that scores lists, and serve it with the tritonserver of the nvidia-pytriton package."""


REPOSITORY = WORK / "models" / "repository"


@triton.command("build")
@click.option(
    "--repository", type=OutFolder(), default=REPOSITORY, show_default=True, help="The model repository to write."
)
@click.option("--source", default="smollm2", show_default=True, help="smollm2, a folder of a model, or a hub name.")
@click.option(
    "--strategy",
    type=click.Choice(["item_tokens", "full_text"]),
    help="What the model reads: a token an item, or all words. [default: item_tokens, for another --source full_text]",
)
@click.option("--adapter", help="Of item tokens: the folder that `ouzel train` wrote. [default: the one for smollm2]")
@click.option("--quantization", type=click.Choice(["none", "int8"]), help="Of weights. [default: none]")
@click.option(
    "--dtype", type=click.Choice(["auto", "bf16", "fp32"]), help="Number format. [default: auto, the faster one there]"
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads of one pass. [default: the cores that are there, up to 8]"
)
@click.option("--readings", help='Where readings of items are kept, "" for nowhere. [default: beside the repository]')
def triton_build(
    repository: Path,
    source: str,
    strategy: str | None,
    adapter: str | None,
    quantization: str | None,
    dtype: str | None,
    threads: int | None,
    readings: str | None,
) -> None:
    """Convert the weights and write the model repository. What is there already is kept."""
    from inference.settings import ModelSettings
    from inference.transformer.weights import SMOLLM2
    from inference.triton.repository import build

    if strategy is None and adapter is None and source != SMOLLM2:
        strategy = "full_text"  # the adapter that comes along is for the model that comes along
    named = {
        "strategy": strategy,
        "adapter": adapter,
        "quantization": quantization,
        "dtype": dtype,
        "threads": threads,
    }
    chosen = {"source": source, **{name: value for name, value in named.items() if value}}
    if readings is not None:
        chosen["readings"] = str(Path(readings).resolve()) if readings else ""
    with told_by_bars() as progress:
        build(repository, ModelSettings.make(**chosen), progress)
    say(f"{repository} is ready; serve it with `ouzel triton serve`")


@triton.command("serve")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=REPOSITORY,
    show_default=True,
    help="The model repository.",
)
@click.option("--grpc-port", type=PORT, help="Port for workers. [default: a free one]")
@click.option("--http-port", type=PORT, help="Port for health checks over HTTP. [default: HTTP is off]")
@click.option("--metrics-port", type=PORT, help="Port for Prometheus. [default: a free one]")
@click.option("--tls-cert", type=FILE, help="Encrypt gRPC: the certificate with its chain, in PEM.")
@click.option("--tls-key", type=FILE, help="Its key, in PEM.")
@click.option("--tls-client-ca", type=FILE, help="Ask workers for a certificate of these authorities.")
@click.option(
    "--model-control/--no-model-control",
    show_default=True,
    help="Let clients that have the key load and unload models, which is to run code. Without, nobody can.",
)
@click.option(
    "--control-key",
    type=OutFile(make_folder=True),
    default=WORK / "triton-control.key",
    show_default=True,
    help="With --model-control: the file of the key, made if it is missing. OUZEL_TRITON_CONTROL_KEY goes before it.",
)
@click.option(
    "--restart/--no-restart",
    default=True,
    show_default=True,
    help="Start the server again when it ends by itself, after a pause that grows to a minute.",
)
@click.option(
    "--log",
    type=OutFile(make_folder=True),
    default=WORK / "triton.log",
    show_default=True,
    help="Where the server's log goes.",
)
def triton_serve(
    repository: Path,
    grpc_port: int | None,
    http_port: int | None,
    metrics_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    model_control: bool,
    control_key: Path,
    restart: bool,
    log: Path,
) -> None:
    """Serve the built model on loopback until SIGTERM or Ctrl-C."""
    from deploy.local.processes import guard, release
    from inference.triton import server
    from inference.triton.control import VARIABLE, find_key
    from inference.triton.ports import free_ports
    from inference.triton.supervision import serve

    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-client-ca with them")
    tls = None if tls_cert is None or tls_key is None else server.ServerTls(tls_cert, tls_key, tls_client_ca)
    key = find_key(control_key, os.environ) if model_control else None
    grpc, metrics = free_ports(2)

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def start(restarts: int) -> server.TritonServer:
        return server.start(
            repository,
            log=log,
            grpc_port=grpc_port or grpc,
            http_port=http_port,
            metrics_port=metrics_port or metrics,
            tls=tls,
            control_key=key,
            restarts=restarts,
            on_started=guard,
            on_stopped=release,
            stopping=stopping,
        )

    def tell(ready: server.TritonServer) -> None:
        http = f"  http {ready.http}" if ready.http else ""
        say(f"grpc {ready.grpc}{http}  metrics {ready.metrics}  log {log}")
        if key is not None:
            say(f"clients with the key can swap its model ({VARIABLE}, else {control_key})")
        say(f"workers find it by OUZEL_TRITON={ready.grpc}; Ctrl-C stops it")

    serve(
        start,
        on_ready=tell,
        on_end=lambda told: say(f"ouzel: {told}", err=True),
        stopping=stopping,
        restart=restart,
    )
