"""The demo as it is typed: live lists and a summary, and nothing left behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import parts

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(2_400),
]

PATIENCE = 1_200.0
"""Seconds for a demo to get anywhere on a slow machine; the model may have to be built."""

NAMED_SECONDS = 5.0
"""For the demo to say that a part has ended."""

STOPPED_SECONDS = 8.0
"""Longer than the demo waits for a page, and than the group waits for a worker."""

MODELS = Path(__file__).parents[3] / ".ouzel" / "models"
HELD = "hunter2-hunter2-hunter2"
"""What stands in the environment of the demo, and in that of none of its children."""


@dataclass
class Run:
    """A demo that was started in a separate folder, which its children share."""

    folder: Path
    process: subprocess.Popen[str]

    def children(self) -> list[int]:
        found = []
        for working in Path("/proc").glob("[0-9]*/cwd"):
            try:
                here = working.readlink() == self.folder
            except OSError:
                continue
            if here and int(working.parent.name) != self.process.pid:
                found.append(int(working.parent.name))
        return found

    def with_secret(self) -> list[str]:
        """The children that have a secret in their environment."""
        return [program(pid) for pid in self.children() if HELD.encode() in environment(pid)]

    def log(self) -> str:
        return (self.folder / "out").read_text()

    def pid(self, name: str) -> int:
        """The one child that runs this program."""
        [found] = [pid for pid in self.children() if program(pid) == name]
        return found

    def having(self, argument: bytes) -> int:
        """The one child that has this argument."""
        [found] = [pid for pid in self.children() if argument in arguments(pid)]
        return found

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to that:\n{self.log()}"
            time.sleep(0.1)


def arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]  # it has just ended


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""  # it has just ended


def program(pid: int) -> str:
    return os.path.basename(arguments(pid)[0].decode())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts demos with the models of this checkout, if it has any, and ends what a failed test leaves."""
    parts.need_triton()
    parts.need(Path("/proc/self/environ").exists(), "The children are looked for in /proc, which is Linux's.")
    runs = []
    (tmp_path / ".ouzel").mkdir()
    MODELS.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".ouzel" / "models").symlink_to(MODELS)

    def run(*arguments: str) -> Run:
        with (tmp_path / "out").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "demo", *arguments],
                cwd=tmp_path,
                env={**os.environ, "OUZEL_SASL_PASSWORD": HELD, "AWS_SECRET_ACCESS_KEY": HELD},
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        runs.append(Run(tmp_path.resolve(), process))
        return runs[-1]

    yield run
    for each in runs:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        each.until(lambda each=each: not each.children(), PATIENCE)


def test_demo_ends_with_its_summary_though_a_worker_was_stopped_for_a_while(
    start: Callable[..., Run],
) -> None:
    run = start("--seconds", "10", "--speed", "2", "--json", "summary.json")
    run.until(lambda: "workers: ready" in run.log(), PATIENCE)
    run.until(lambda: "model: tritonserver is ready" in run.log(), PATIENCE)
    running = " ".join(sorted(program(pid) for pid in run.children()))
    assert all(part in running for part in ("tansu", "tritonserver", "stub"))
    # A child that has just been forked shares its parent's environment until it runs its own program.
    run.until(lambda: run.with_secret() == [], NAMED_SECONDS)
    worker = run.having(b"worker")
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    run.until(lambda: time.monotonic() > began + STOPPED_SECONDS, PATIENCE)
    os.kill(worker, signal.SIGCONT)
    assert run.process.wait(PATIENCE) == 0, run.log()
    figures = json.loads((run.folder / "summary.json").read_text())
    assert 10 <= figures["events"] <= 21
    assert 0 < figures["lists"] <= figures["events"]
    assert figures["dead_letters"] == 0
    assert 0 < figures["films_read"]["begin"] <= figures["films_read"]["end"] <= figures["films_read"]["of"] == 1_682
    assert figures["events_per_second"] == pytest.approx(figures["events"] / 10, rel=0.1)
    assert set(figures["hit_ratio"]) == {"ouzel", "popularity", "markov", "item_knn"}
    assert figures["event_to_list_ms"]["p50"] > 0
    assert "Summary" in run.log()
    assert run.children() == []


def test_ctrl_c_before_the_live_part_breaks_it_off(start: Callable[..., Run]) -> None:
    run = start()
    run.until(lambda: "workers ..." in run.log(), PATIENCE)
    assert run.children()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(PATIENCE) == 130, run.log()
    assert run.children() == []


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL])
def test_loading_tritonserver_is_stopped(start: Callable[..., Run], death: signal.Signals) -> None:
    run = start()
    log = run.folder / ".ouzel" / "demo" / "tritonserver.log"
    run.until(lambda: log.exists() and log.stat().st_size > 0, PATIENCE)
    run.process.send_signal(death)
    assert run.process.wait(PATIENCE) == (130 if death is signal.SIGINT else -signal.SIGKILL)
    run.until(lambda: not run.children(), PATIENCE)


def test_killed_demo_leaves_no_process(start: Callable[..., Run]) -> None:
    run = start("--speed", "2")
    run.until(lambda: "events 1" in run.log(), PATIENCE)
    run.process.kill()
    run.process.wait()
    run.until(lambda: not run.children(), PATIENCE)


def test_tritonserver_killed_before_the_lists_is_named_with_its_log(start: Callable[..., Run]) -> None:
    run = start()
    run.until(lambda: "workers: ready" in run.log(), PATIENCE)
    worker = run.having(b"worker")
    os.kill(worker, signal.SIGSTOP)  # so that the reading lasts
    run.until(lambda: "model: tritonserver is ready" in run.log(), PATIENCE)
    os.kill(run.pid("tritonserver"), signal.SIGKILL)
    run.until(lambda: "tritonserver was killed by signal 9. Start again" in run.log(), NAMED_SECONDS)
    os.kill(worker, signal.SIGCONT)
    assert run.process.wait(PATIENCE) == 1
    assert "Started GRPCInferenceService" in run.log(), "the tail of tritonserver's log"
    assert "Traceback" not in run.log()
    assert run.children() == []


def test_tritonserver_killed_during_the_lists_is_named_and_lists_continue(start: Callable[..., Run]) -> None:
    run = start("--speed", "2", "--json", "summary.json")
    run.until(lambda: "events 1" in run.log(), PATIENCE)
    os.kill(run.pid("tritonserver"), signal.SIGKILL)
    said = "tritonserver was killed by signal 9: lists continue without the model"
    run.until(lambda: said in run.log(), NAMED_SECONDS)
    before = run.log().count("lists ")
    run.until(lambda: run.log().count("lists ") > before + 1, PATIENCE)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(PATIENCE) == 0
    figures = json.loads((run.folder / "summary.json").read_text())
    assert figures["degraded_by_reason"]["unavailable"] > 0
    assert "were made without the model; tritonserver did not answer" in run.log()
    assert "Traceback" not in run.log()


@pytest.mark.parametrize(("argument", "name"), [(b"--listener-url", "The embedded broker"), (b"worker", "Worker 1")])
def test_killed_broker_or_worker_ends_the_demo_and_is_named(
    start: Callable[..., Run], argument: bytes, name: str
) -> None:
    run = start("--speed", "2")
    run.until(lambda: "events 1" in run.log(), PATIENCE)
    os.kill(run.having(argument), signal.SIGKILL)
    run.until(lambda: f"{name} was killed by signal 9" in run.log(), NAMED_SECONDS)
    assert run.process.wait(PATIENCE) == 1
    assert "Traceback" not in run.log()
    assert run.children() == []


def test_tritonserver_exits_with_its_parent_and_ctrl_c_ends_the_live_part_with_a_summary(
    start: Callable[..., Run],
) -> None:
    run = start("--speed", "2", "--json", "summary.json")
    run.until(lambda: "events 1" in run.log(), PATIENCE)
    server = run.pid("tritonserver")
    serving = int(Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(serving, signal.SIGKILL)
    run.until(lambda: server not in run.children(), 30)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(PATIENCE) == 0, "the lists go on without it"
    assert json.loads((run.folder / "summary.json").read_text())["events"] > 0
    assert run.children() == []
