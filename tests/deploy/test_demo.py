"""The demo as it is typed: live lists and a summary, and nothing left behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import parts

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = Path(__file__).parents[2] / ".ouzel" / "models"
MARK = "OUZEL_TEST_RUN"


@dataclass
class Run:
    """A demo that was started in a folder of its own; its children are known by a mark in their environment."""

    folder: Path
    mark: str
    process: subprocess.Popen[str]

    def children(self) -> list[int]:
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                marked = f"{MARK}={self.mark}".encode() in environment.read_bytes().split(b"\0")
            except OSError:
                continue
            if marked and int(environment.parent.name) != self.process.pid:
                found.append(int(environment.parent.name))
        return found

    def log(self) -> str:
        return (self.folder / "out").read_text()

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to that:\n{self.log()}"
            time.sleep(0.1)


def program(pid: int) -> str:
    return os.path.basename(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode())


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
        mark = uuid.uuid4().hex
        with (tmp_path / "out").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "demo", *arguments],
                cwd=tmp_path,
                env={**os.environ, MARK: mark},
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        runs.append(Run(tmp_path, mark, process))
        return runs[-1]

    yield run
    for each in runs:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        each.until(lambda each=each: not each.children(), 30)  # type: ignore[misc]


def test_the_demo_makes_lists_and_ends_with_its_summary(start: Callable[..., Run]) -> None:
    run = start("--seconds", "10", "--speed", "2", "--json", "summary.json")
    assert run.process.wait(400) == 0, run.log()
    figures = json.loads((run.folder / "summary.json").read_text())
    assert 10 <= figures["events"] <= 21
    assert 0 < figures["lists"] <= figures["events"]
    assert figures["dead_letters"] == 0
    assert set(figures["hit_ratio"]) == {"ouzel", "popularity", "markov", "item_knn"}
    assert figures["event_to_list_ms"]["p50"] > 0
    assert "Summary" in run.log()
    assert run.children() == []


def test_ctrl_c_before_the_live_part_breaks_it_off(start: Callable[..., Run]) -> None:
    run = start()
    run.until(lambda: "workers ..." in run.log(), 60)
    assert run.children()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(60) == 130, run.log()
    assert run.children() == []


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL])
def test_a_tritonserver_that_still_loads_is_ended(start: Callable[..., Run], death: signal.Signals) -> None:
    run = start()
    log = run.folder / ".ouzel" / "demo" / "tritonserver.log"
    run.until(lambda: log.exists() and log.stat().st_size > 0, 200)
    run.process.send_signal(death)
    assert run.process.wait(60) == (130 if death is signal.SIGINT else -signal.SIGKILL)
    run.until(lambda: not run.children(), 30)


def test_a_killed_demo_leaves_no_process(start: Callable[..., Run]) -> None:
    run = start("--speed", "2")
    run.until(lambda: "events 1" in run.log(), 400)
    run.process.kill()
    run.process.wait()
    run.until(lambda: not run.children(), 30)


def test_a_tritonserver_outlives_nobody_who_serves_it_and_ctrl_c_ends_the_live_part_with_a_summary(
    start: Callable[..., Run],
) -> None:
    run = start("--speed", "2", "--json", "summary.json")
    run.until(lambda: "events 1" in run.log(), 400)
    [server] = [pid for pid in run.children() if program(pid) == "tritonserver"]
    serving = int(Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(serving, signal.SIGKILL)
    run.until(lambda: server not in run.children(), 30)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(60) == 0, "the lists go on without it"
    assert json.loads((run.folder / "summary.json").read_text())["events"] > 0
    assert run.children() == []
