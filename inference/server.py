"""Start and stop the tritonserver that comes in the nvidia-pytriton package, without Docker."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from inference.errors import TritonFailed
from inference.installation import Installation, find_installation
from inference.ports import free_ports

MODEL = "scorer"
READY_SECONDS = 600.0
STOP_SECONDS = 8.0
TAIL_LINES = 12
_STUB_FAILED = b"error while loading shared libraries"
_EXIT_SECONDS = 5
"""How long tritonserver itself waits for running requests on SIGTERM."""


@dataclass(frozen=True)
class ServerTls:
    """Encryption of gRPC: files in PEM. With `client_ca`, clients must show a certificate of one of these
    authorities."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def options(self) -> list[str]:
        """The server's options. Raises `TritonFailed` where a file is missing, on which the server itself would go on
        without encryption."""
        for path in (self.cert, self.key, self.client_ca):
            if path is not None and not path.is_file():
                raise TritonFailed(f"there is no file {path}; name a certificate and its key in PEM")
        options = [f"--grpc-server-cert={self.cert}", f"--grpc-server-key={self.key}"]
        if self.client_ca is None:
            return [*options, "--grpc-use-ssl=true"]
        return [*options, f"--grpc-root-cert={self.client_ca}", "--grpc-use-ssl-mutual=true"]


@dataclass(eq=False)
class TritonServer:
    """A running tritonserver. Addresses are host:port; it ends with `stop`, and none of its processes outlives it."""

    grpc: str
    http: str
    metrics: str
    log: Path
    process: subprocess.Popen[bytes]
    _resources: ExitStack
    _stopped: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> bool:
        """Whether the scorer answers. (The server's own readiness stays false after any failed load.)"""
        try:
            with urllib.request.urlopen(f"http://{self.http}/v2/models/{MODEL}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, then SIGKILL after `seconds`; then what is left of its group. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # The model's stub is a child of the server in the same group: it goes with the server, or here.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._resources.close()


def start(
    repository: Path,
    *,
    log: Path,
    ready_seconds: float = READY_SECONDS,
    grpc_port: int | None = None,
    http_port: int | None = None,
    metrics_port: int | None = None,
    tls: ServerTls | None = None,
    on_started: Callable[[int], None] | None = None,
    stopping: threading.Event | None = None,
) -> TritonServer:
    """Serve the scorer of `repository` on loopback, on free ports where none is given, and wait until it answers.

    The model runs on this Python and its packages. The server writes to `log`. `on_started` is told its process id,
    which is also its process group's, as soon as it runs. Raises `TritonNotAvailable` where there is no tritonserver,
    and `TritonFailed` where it does not get ready in time, or `stopping` is set before.
    """
    installation = find_installation()
    if not (repository / MODEL / "config.pbtxt").exists():
        raise TritonFailed(f"{repository} holds no model named {MODEL}; run `ouzel triton build`")
    resources = ExitStack()
    try:
        backends = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="ouzel-triton-")))
        _lay_out_backend(installation, backends / "python")
        log.parent.mkdir(parents=True, exist_ok=True)
        output = resources.enter_context(log.open("wb"))
        ports = free_ports(3)
        grpc, http, metrics = (
            given or free for given, free in zip((grpc_port, http_port, metrics_port), ports, strict=True)
        )
        options = [] if tls is None else tls.options()
        process = _launch(installation, repository, backends, output, (grpc, http, metrics), options)
    except BaseException:
        resources.close()
        raise
    server = TritonServer(f"127.0.0.1:{grpc}", f"127.0.0.1:{http}", f"127.0.0.1:{metrics}", log, process, resources)
    try:
        if on_started is not None:
            on_started(server.pid)
        _await_ready(server, ready_seconds, stopping or threading.Event())
    except BaseException:
        server.stop()
        raise
    return server


@contextmanager
def running(repository: Path, *, log: Path, tls: ServerTls | None = None) -> Iterator[TritonServer]:
    """`start` as a context: stopped at its end, whatever happens inside."""
    server = start(repository, log=log, tls=tls)
    try:
        yield server
    finally:
        server.stop()


def serve(
    repository: Path,
    *,
    log: Path,
    on_ready: Callable[[TritonServer], None],
    stopping: threading.Event,
    grpc_port: int | None = None,
    http_port: int | None = None,
    metrics_port: int | None = None,
    tls: ServerTls | None = None,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Serve until `stopping` is set. Raises `TritonFailed` if the server ends by itself or is stopped while loading."""
    server = start(
        repository,
        log=log,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        tls=tls,
        on_started=on_started,
        stopping=stopping,
    )
    try:
        on_ready(server)
        while not stopping.wait(0.5):
            if not server.running:
                raise TritonFailed(f"tritonserver {_how_it_ended(server)}. {_last_lines(log)}")
    finally:
        server.stop()


def _lay_out_backend(installation: Installation, target: Path) -> None:
    """The Python backend with its stub beside it, as tritonserver looks for it, without touching the package."""
    target.mkdir(parents=True)
    for path in installation.backend.iterdir():
        (target / path.name).symlink_to(path)
    stub = target / installation.stub.name
    stub.unlink(missing_ok=True)
    shutil.copy2(installation.stub, stub)
    stub.chmod(0o755)


def _launch(  # noqa: PLR0917
    installation: Installation,
    repository: Path,
    backends: Path,
    output: IO[bytes],
    ports: tuple[int, int, int],
    options: Sequence[str],
) -> subprocess.Popen[bytes]:
    grpc, http, metrics = ports
    command = [
        str(installation.program),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={backends}",
        f"--cache-directory={installation.caches}",
        "--model-control-mode=explicit",
        f"--load-model={MODEL}",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={_EXIT_SECONDS}",
        "--metrics-config=summary_latencies=true",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        *options,
    ]
    # The backend runs the first python3 on PATH and starts it through bash; PYTHONPATH would be ignored.
    variables = {
        **{k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}},
        "PATH": f"{installation.python}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": ":".join(map(str, installation.libraries)),
        "HF_HUB_OFFLINE": "1",
        # Threads that spin at every barrier starve each other on a shared machine: measured 5 to 30 times slower.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    return subprocess.Popen(  # noqa: S603
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _await_ready(server: TritonServer, seconds: float, stopping: threading.Event) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not server.running:
            raise TritonFailed(
                f"tritonserver {_how_it_ended(server)}. {_last_error(server.log)}. {_last_lines(server.log)}"
            )
        if server.ready():
            return
        # The server itself waits for ever for a stub that cannot start.
        if _STUB_FAILED in server.log.read_bytes():
            break
        if stopping.wait(0.1):
            raise TritonFailed("stopped before the model was ready; start it again when it is wanted")
    raise TritonFailed(
        f"the model did not get ready (at most {seconds:.0f} s are waited): {_last_error(server.log)}. "
        f"{_last_lines(server.log)}"
    )


def _how_it_ended(server: TritonServer) -> str:
    code = server.process.returncode
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"


def _last_error(log: Path) -> str:
    """The last error line that the server wrote."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if line.startswith("E") or "Error" in line or "error" in line]
    return (errors or lines or ["it wrote nothing"])[-1].strip()


def _last_lines(log: Path, count: int = TAIL_LINES) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    told = [line for line in lines if line.strip() and not line.startswith(("+-", "| "))]  # it draws tables of options
    return f"The last lines of {log}:\n" + "\n".join(told[-count:])
