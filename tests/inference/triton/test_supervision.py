"""A server that exits is restarted with exponential backoff, and each restart is reported."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inference.errors import TritonFailed
from inference.triton import supervision
from inference.triton.ports import free_ports
from inference.triton.supervision import FIRST_SECONDS, MOST_SECONDS, STEADY_SECONDS, pause, serve
from tests.support.parts import need_triton
from tests.support.patience import PATIENCE, until
from tests.support.processes import of_group, shared_memory
from tests.support.scripted_repository import scripted


def test_pauses_double_up_to_a_minute_and_reset_after_a_steady_run() -> None:
    waits = [0.0]
    for _ in range(9):
        waits.append(pause(waits[-1], up=1.0))
    assert waits[1:] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pause(MOST_SECONDS, up=STEADY_SECONDS) == FIRST_SECONDS


class Clock(threading.Event):
    """A clock and a stop event; waiting for the event advances the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if not self.is_set():
            self.now += timeout
            self.waits.append(timeout)
        return self.is_set()


@dataclass
class Fake:
    """A server that is up for some looks."""

    looks: int
    stops: int = 0

    @property
    def running(self) -> bool:
        self.looks -= 1
        return self.looks >= 0

    def last_words(self) -> str:
        return "tritonserver was killed by signal 9. The last lines of log:\nits last words"

    def stop(self) -> None:
        self.stops += 1


@dataclass
class Bench:
    """Servers, one for each start; an error is one that does not start. After the last it is told to stop."""

    servers: list[Fake | Exception]
    clock: Clock = field(default_factory=Clock)
    ready: list[Fake] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def start(self, restarts: int) -> Fake:
        self.starts.append(restarts)
        server = self.servers[restarts]
        if isinstance(server, Exception):
            raise server
        return server

    def heard(self, text: str) -> None:
        self.told.append(text)
        if len(self.starts) == len(self.servers):
            self.clock.set()

    def serve(self, *, restart: bool = True) -> None:
        serve(
            self.start,
            on_ready=self.ready.append,
            on_end=self.heard,
            stopping=self.clock,
            restart=restart,
            clock=lambda: self.clock.now,
        )

    @property
    def pauses(self) -> list[float]:
        return [wait for wait in self.clock.waits if wait != supervision.LOOK_SECONDS]


def test_each_exit_is_reported_and_each_server_stopped() -> None:
    steady = int(STEADY_SECONDS / supervision.LOOK_SECONDS) + 1
    servers: list[Fake | Exception] = [Fake(5), Fake(0), OSError(28, "disk full"), Fake(steady), Fake(0)]
    bench = Bench(list(servers))
    bench.serve()
    assert bench.starts == [0, 1, 2, 3, 4]
    assert [each.stops for each in servers if isinstance(each, Fake)] == [1, 1, 1, 1]
    assert bench.pauses == [1, 2, 4, 1], "a steady run resets them, and it is stopped after the last"
    assert bench.told[0].splitlines() == [
        "tritonserver was killed by signal 9. The last lines of log:",
        "its last words",
        "It was up for 1 s; restart 1 follows in 1 s",
    ]
    assert bench.told[2].splitlines()[-1] == "It was up for 0 s; restart 3 follows in 4 s"
    assert "disk full" in bench.told[2]


def test_first_start_that_fails_is_an_error() -> None:
    with pytest.raises(TritonFailed, match="no port"):
        Bench([TritonFailed("no port")]).serve()


def test_exit_without_restarts_is_an_error_with_the_log() -> None:
    server = Fake(3)
    bench = Bench([server])
    with pytest.raises(TritonFailed, match=r"signal 9[^\0]*its last words"):
        bench.serve(restart=False)
    assert (server.stops, bench.told) == (1, [])


def test_stopping_ends_quietly_and_stops_the_server() -> None:
    server = Fake(10**6)
    bench = Bench([server])
    bench.ready = Stopping(bench.clock)
    bench.serve()
    assert (server.stops, bench.told) == (1, [])


class Stopping(list[Fake]):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def append(self, server: Fake) -> None:
        super().append(server)
        self._clock.set()


@pytest.mark.triton
def test_server_that_is_killed_is_served_again_and_counted(tmp_path: Path) -> None:
    need_triton()
    grpc, metrics = free_ports(2)
    repository = scripted(tmp_path / "repository")
    log = tmp_path / "triton.log"
    command = [sys.executable, "-m", "deploy.cli", "triton", "serve", "--repository", str(repository)]
    command += ["--grpc-port", str(grpc), "--metrics-port", str(metrics), "--log", str(log)]
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("w") as output, err.open("w") as errors:
        serving = subprocess.Popen(command, stdout=output, stderr=errors, cwd=Path(__file__).parents[3])
    try:
        until(served(out, 1), "the first start")
        assert restarts(metrics) == 0
        first = child(serving.pid)
        left = shared_memory(first)
        os.kill(first, signal.SIGKILL)
        until(served(out, 2), "the second start")
        said = err.read_text().splitlines()
        assert said[0] == f"ouzel: tritonserver was killed by signal 9. The last lines of {log}:"
        assert re.fullmatch(r"It was up for \d+ s; restart 1 follows in 1 s", said[-1])
        assert restarts(metrics) == 1
        assert of_group(first) == []
        assert left
        assert [path for path in left if path.exists()] == []
        assert log.read_text().count("Started GRPCInferenceService") == 2, "its last words are kept"
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) == 0


def served(out: Path, times: int) -> Callable[[], bool]:
    return lambda: out.read_text().count("start workers with OUZEL_TRITON") == times


def restarts(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        [found] = re.findall(r"^ouzel_triton_restarts_total\{.*\} (\d+)$", page.read().decode(), re.MULTILINE)
    return int(found)


def child(parent: int) -> int:
    """The tritonserver that this process started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text()
        except OSError:
            continue
        if "(tritonserver)" in state and int(state.rpartition(")")[2].split()[1]) == parent:
            return int(entry.name)
    raise AssertionError("it started none")
