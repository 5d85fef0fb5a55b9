"""`ouzel triton`."""

import os
import signal
import threading
from pathlib import Path

import click

from deploy.commands.options import WORK
from deploy.commands.parameters import InFile, OutFile, OutFolder
from deploy.local.progress import told_by_bars
from deploy.local.terminal import say

PORT = click.IntRange(1, 65_535)
FILE = InFile()
REPOSITORY = WORK / "models" / "repository"


@click.group()
def triton() -> None:
    """Build the ranking model and serve it with tritonserver."""


@triton.command("build")
@click.option(
    "--repository",
    metavar="FOLDER",
    type=OutFolder(),
    default=REPOSITORY,
    show_default=True,
    help="Model repository to write.",
)
@click.option(
    "--source",
    metavar="MODEL",
    default="smollm2",
    show_default=True,
    help="Language model: smollm2, a folder, or a name on the Hugging Face hub.",
)
@click.option(
    "--strategy",
    type=click.Choice(["item_tokens", "full_text"]),
    show_default="item_tokens; full_text with another --source",
    help="What the model reads: one learned token per item, or its full text.",
)
@click.option(
    "--adapter",
    metavar="FOLDER",
    show_default="the bundled one, for smollm2",
    help="With item_tokens: an adapter from `ouzel train`.",
)
@click.option("--quantization", type=click.Choice(["none", "int8"]), show_default="none", help="Weight quantization.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "bf16", "fp32"]),
    show_default="auto: the faster one on this machine",
    help="Number format.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 256),
    show_default="number of cores, at most 8",
    help="CPU threads per pass.",
)
@click.option(
    "--readings",
    metavar="FOLDER",
    show_default="beside the repository",
    help='Folder for cached item readings; "" disables the cache.',
)
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
    """Convert the weights and write the model repository.

    Reuses everything that is up to date.
    """
    from inference.settings import ModelSettings
    from inference.transformer.weights import SMOLLM2
    from inference.triton.repository import build

    if strategy is None and adapter is None and source != SMOLLM2:
        strategy = "full_text"  # the bundled adapter fits only the bundled model
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
    say(f"built {repository}; serve it with `ouzel triton serve`")


@triton.command("serve")
@click.option(
    "--repository",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=REPOSITORY,
    show_default=True,
    help="Model repository to serve.",
)
@click.option("--grpc-port", metavar="PORT", type=PORT, show_default="a free port", help="gRPC port for workers.")
@click.option("--http-port", metavar="PORT", type=PORT, show_default="none", help="HTTP port for health checks.")
@click.option(
    "--metrics-port", metavar="PORT", type=PORT, show_default="a free port", help="Port for Prometheus metrics."
)
@click.option("--tls-cert", type=FILE, help="Encrypt gRPC with this PEM certificate chain.")
@click.option("--tls-key", type=FILE, help="Private key of --tls-cert, in PEM.")
@click.option("--tls-client-ca", type=FILE, help="Require client certificates from this authority (mutual TLS).")
@click.option(
    "--model-control/--no-model-control",
    show_default=True,
    help="Let clients with the control key load and unload models, which means running code.",
)
@click.option(
    "--control-key",
    metavar="FILE",
    type=OutFile(make_folder=True),
    default=WORK / "triton-control.key",
    show_default=True,
    help="With --model-control: the key file, created if missing. OUZEL_TRITON_CONTROL_KEY overrides it.",
)
@click.option(
    "--restart/--no-restart",
    default=True,
    show_default=True,
    help="Restart tritonserver when it exits, after a pause that grows to a minute.",
)
@click.option(
    "--log",
    metavar="FILE",
    type=OutFile(make_folder=True),
    default=WORK / "triton.log",
    show_default=True,
    help="Log file of tritonserver.",
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
    """Serve the model on 127.0.0.1 until SIGTERM or Ctrl-C.

    Needs the nvidia-pytriton package, which brings tritonserver.
    """
    from deploy.local.processes import guard, release
    from inference.triton import server
    from inference.triton.control import VARIABLE, find_key
    from inference.triton.placing import placed
    from inference.triton.ports import free_ports
    from inference.triton.recovery import start_others
    from inference.triton.repository import served
    from inference.triton.supervision import serve

    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise click.UsageError("--tls-cert and --tls-key need each other, and --tls-client-ca needs both")
    tls = None if tls_cert is None or tls_key is None else server.ServerTls(tls_cert, tls_key, tls_client_ca)
    key = find_key(control_key, os.environ) if model_control else None
    grpc, metrics = free_ports(2)

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def warn(told: str) -> None:
        say(f"ouzel: {told}", err=True)

    def start(restarts: int) -> server.TritonServer:
        def once() -> server.TritonServer:
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

        return once() if key is None else start_others(once, repository, warn)

    def tell(ready: server.TritonServer) -> None:
        http = f"  http {ready.http}" if ready.http else ""
        say(f"grpc {ready.grpc}{http}  metrics {ready.metrics}  log {log}")
        if key is not None:
            say(f"clients with the control key ({VARIABLE}, else {control_key}) can replace the model")
            for number in sorted(set(served(repository)).difference(placed(repository))):
                warn(f"version {number} is not in {repository} any more and is not served")
        say(f"ready: start workers with OUZEL_TRITON={ready.grpc}; stop with Ctrl-C")

    serve(
        start,
        on_ready=tell,
        on_end=warn,
        stopping=stopping,
        restart=restart,
    )
