"""Start and stop the tritonserver that comes in the nvidia-pytriton package, without Docker."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from inference.errors import TritonFailed
from inference.triton import control, region
from inference.triton.environment import RESTARTS, passed_on
from inference.triton.installation import Installation, find_installation
from inference.triton.ports import free_ports

MODEL = "scorer"
READY_SECONDS = 600.0
STOP_SECONDS = 8.0
TAIL_LINES = 12
_STUB_FAILED = b"error while loading shared libraries"
_EXIT_SECONDS = 5
"""Time that tritonserver waits for running requests on SIGTERM."""
_MOST_BYTES = 65_536
"""Bytes to read from each end of a log."""


@dataclass(frozen=True)
class ServerTls:
    """Encryption of gRPC; PEM files. With `client_ca`, clients must have a certificate from one of its authorities."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def options(self) -> list[str]:
        """The server's options. Raises `TritonFailed` if a file is missing; the server itself would then start without
        encryption."""
        for path in (self.cert, self.key, self.client_ca):
            if path is not None and not path.is_file():
                raise TritonFailed(f"there is no file {path}; name a certificate and its key in PEM")
        options = [f"--grpc-server-cert={self.cert}", f"--grpc-server-key={self.key}"]
        if self.client_ca is None:
            return [*options, "--grpc-use-ssl=true"]
        return [*options, f"--grpc-root-cert={self.client_ca}", "--grpc-use-ssl-mutual=true"]


@dataclass(eq=False)
class TritonServer:
    """A running tritonserver. Addresses are host:port. `stop` ends it and all its processes.

    `http` is empty if HTTP is off. Its output starts at byte `log_from` of `log`. The memory that it shares with its
    model is in /dev/shm, under names that begin with `shared`.
    """

    grpc: str
    http: str
    metrics: str
    log: Path
    log_from: int
    shared: str
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
        """Whether it serves the scorer. All its ports open after the model is loaded. This asks the metrics port, since
        gRPC may require a certificate and HTTP may be off."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=2) as answer:
                return f'model="{MODEL}"'.encode() in answer.read()
        except OSError:
            return False

    def last_words(self) -> str:
        """How it exited, and the tail of its log."""
        return f"tritonserver {_how_it_ended(self)}. {_last_lines(self)}"

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, then SIGKILL after `seconds`; then SIGKILL to the rest of its group. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # The model's stub is a child of the server in the same group: it exits with the server, or is killed here.
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
    control_key: str | None = None,
    restarts: int = 0,
    on_started: Callable[[int], None] | None = None,
    on_stopped: Callable[[int], None] | None = None,
    stopping: threading.Event | None = None,
) -> TritonServer:
    """Serve the scorer of `repository` on loopback, and wait until it answers.

    gRPC and metrics get free ports by default; HTTP is off by default. Clients with `control_key` may swap the model;
    without a key, no client may. The model runs on this Python and its packages, with few of this process's
    environment variables (`inference.triton.environment`).

    `restarts` is the number of restarts so far, which the metrics report; above 0, the server appends to `log` instead
    of overwriting it. `on_started` gets the process id, which is also the process group's, as soon as it runs;
    `on_stopped` gets it when no process of the group is left. Raises `TritonNotAvailable` if there is no tritonserver,
    and `TritonFailed` if it is not ready in time, or `stopping` is set before.
    """
    installation = find_installation()
    if not (repository / MODEL / "config.pbtxt").exists():
        raise TritonFailed(f"{repository} has no model named {MODEL}; run `ouzel triton build`")
    resources = ExitStack()
    try:
        regions = resources.enter_context(region.claimed())
        backends = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="ouzel-triton-")))
        _lay_out_backend(installation, backends / "python")
        output = resources.enter_context(_open_log(log, truncate=restarts == 0))
        log_from = output.tell()
        grpc, metrics = (given or free for given, free in zip((grpc_port, metrics_port), free_ports(2), strict=True))
        options = [
            *_addresses(grpc, http_port, metrics),
            *control.server_options(MODEL, control_key),
            *regions.options(),
            *([] if tls is None else tls.options()),
        ]
        variables = {**_environment(installation), RESTARTS: str(restarts)}
        process = _launch(installation, repository, backends, output, options, variables, regions.lock)
    except BaseException:
        resources.close()
        raise
    if on_stopped is not None:
        resources.callback(on_stopped, process.pid)
    http = "" if http_port is None else f"127.0.0.1:{http_port}"
    server = TritonServer(
        f"127.0.0.1:{grpc}", http, f"127.0.0.1:{metrics}", log, log_from, regions.prefix, process, resources
    )
    try:
        if on_started is not None:
            on_started(server.pid)
        _await_ready(server, ready_seconds, stopping or threading.Event())
    except BaseException:
        server.stop()
        raise
    return server


@contextmanager
def running(
    repository: Path,
    *,
    log: Path,
    http_port: int | None = None,
    tls: ServerTls | None = None,
    control_key: str | None = None,
) -> Iterator[TritonServer]:
    """`start` as a context manager, which stops the server on exit."""
    server = start(repository, log=log, http_port=http_port, tls=tls, control_key=control_key)
    try:
        yield server
    finally:
        server.stop()


def _lay_out_backend(installation: Installation, target: Path) -> None:
    """Link the Python backend and copy its stub into `target`, where tritonserver expects both; the package stays
    unchanged."""
    target.mkdir(parents=True)
    for path in installation.backend.iterdir():
        (target / path.name).symlink_to(path)
    stub = target / installation.stub.name
    stub.unlink(missing_ok=True)
    shutil.copy2(installation.stub, stub)
    stub.chmod(0o755)


def _open_log(log: Path, *, truncate: bool) -> IO[bytes]:
    """Open the log, readable for its owner only, even if it exists with other permissions."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    output = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if truncate else os.O_APPEND), 0o600), "wb")
    if stat.S_ISREG(os.fstat(output.fileno()).st_mode):
        os.fchmod(output.fileno(), 0o600)
        output.seek(0, os.SEEK_END)
    return output


def _addresses(grpc: int, http: int | None, metrics: int) -> list[str]:
    return [
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        *(["--allow-http=false"] if http is None else ["--http-address=127.0.0.1", f"--http-port={http}"]),
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics}",
    ]


def _environment(installation: Installation) -> dict[str, str]:
    # The backend runs the first python3 on PATH and starts it through bash; PYTHONPATH would be ignored.
    return {
        # Threads that spin at every barrier starve each other on a shared machine: measured 5 to 30 times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
        **passed_on(os.environ),
        "PATH": f"{installation.python}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": ":".join(map(str, installation.libraries)),
        "HF_HUB_OFFLINE": "1",
    }


def _launch(  # noqa: PLR0917
    installation: Installation,
    repository: Path,
    backends: Path,
    output: IO[bytes],
    options: Sequence[str],
    variables: Mapping[str, str],
    lock: int,
) -> subprocess.Popen[bytes]:
    command = [
        str(installation.program),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={backends}",
        f"--cache-directory={installation.caches}",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={_EXIT_SECONDS}",
        "--metrics-config=summary_latencies=true",
        *options,
    ]
    return subprocess.Popen(  # noqa: S603
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=[lock],
    )


def _await_ready(server: TritonServer, seconds: float, stopping: threading.Event) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not server.running:
            raise TritonFailed(f"tritonserver {_how_it_ended(server)}. {_last_error(server)}. {_last_lines(server)}")
        if server.ready():
            return
        # The server itself waits forever for a stub that cannot start.
        if _STUB_FAILED in _said(server):
            break
        if stopping.wait(0.1):
            raise TritonFailed("stopped before the model was ready; start it again to serve the model")
    raise TritonFailed(
        f"the model was not ready (the limit is {seconds:.0f} s): {_last_error(server)}. {_last_lines(server)}"
    )


def _how_it_ended(server: TritonServer) -> str:
    code = server.process.returncode
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"


def _said(server: TritonServer) -> bytes:
    """Its output since it was started; only both ends if it is long."""
    try:
        with server.log.open("rb") as log:
            log.seek(server.log_from)
            first = log.read(_MOST_BYTES)
            log.seek(max(log.tell(), log.seek(0, os.SEEK_END) - _MOST_BYTES))
            return first + log.read()
    except OSError as error:
        return f"(its log cannot be read: {error.strerror})".encode()


def _last_error(server: TritonServer) -> str:
    """The last error line that the server wrote."""
    lines = _said(server).decode(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("E") or "Error" in line or "error" in line]
    return (errors or lines or ["no output"])[-1].strip()


def _last_lines(server: TritonServer, count: int = TAIL_LINES) -> str:
    lines = _said(server).decode(errors="replace").splitlines()
    told = [line for line in lines if line.strip() and not line.startswith(("+-", "| "))]  # skip its tables of options
    return f"The last lines of {server.log}:\n" + "\n".join(told[-count:])
