"""Children start, answer, end, and never outlive the process that started them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.errors import StartFailed
from deploy.local import watchdog
from deploy.local.processes import Child, how_it_ended, tail
from tests.support.patience import PATIENCE, until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
# Prints its pid and that of its child, then waits.
NESTED = [
    sys.executable,
    "-c",
    "import os, subprocess, sys, time\n"
    "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(os.getpid(), inner.pid, flush=True)\n"
    "time.sleep(600)",
]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_stop_ends_a_child_and_reports_its_signal(tmp_path: Path) -> None:
    with Child("sleeper", SLEEPER, log=tmp_path / "log") as child:
        assert child.running()
        assert child.stop() == -signal.SIGTERM
        assert child.stop() == -signal.SIGTERM, "stopping twice is harmless"


def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Child("stubborn", STUBBORN, log=tmp_path / "log") as child:
        child.wait_ready(lambda: "up" in child.tail(), timeout=PATIENCE)
        assert child.stop(grace=0.1) == -signal.SIGKILL


def test_stop_also_ends_a_childs_children(tmp_path: Path) -> None:
    with Child("nested", NESTED, log=tmp_path / "log") as child:
        child.wait_ready(lambda: len(child.tail().split()) == 2, timeout=PATIENCE)
        inner = int(child.tail().split()[1])
    until(lambda: gone(inner))


def test_child_that_exits_early_is_reported_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    child = Child("scorer", command, log=tmp_path / "log")
    with pytest.raises(StartFailed, match=r"(?s)scorer ended with status 3.*no such model"):
        child.wait_ready(lambda: False, timeout=PATIENCE)


def test_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    child = Child("sleeper", SLEEPER, log=tmp_path / "log")
    with pytest.raises(StartFailed, match=r"not ready within 0\.1 s"):
        child.wait_ready(lambda: False, timeout=0.1)
    assert not child.running()


def test_probe_that_cannot_connect_yet_is_not_an_error(tmp_path: Path) -> None:
    tries: Iterator[OSError | bool] = iter([ConnectionRefusedError(), ConnectionResetError(), True])

    def probe() -> bool:
        result = next(tries)
        if isinstance(result, OSError):
            raise result
        return result

    with Child("sleeper", SLEEPER, log=tmp_path / "log") as child:
        child.wait_ready(probe, timeout=PATIENCE)


def test_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="/no/such/program"):
        Child("broker", ["/no/such/program"], log=tmp_path / "log")


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_children_do_not_outlive_a_parent_that_dies(tmp_path: Path, death: signal.Signals) -> None:
    log = tmp_path / "log"
    script = (
        "import pathlib, signal, time\n"
        "from deploy.local.processes import Child\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # ignored by what runs under nohup
        f"Child('nested', {NESTED!r}, log=pathlib.Path({str(log)!r}))\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        until(lambda: log.exists() and len(log.read_text().split()) == 2)
        outer, inner = map(int, log.read_text().split())
        parent.send_signal(death)
    until(lambda: gone(outer) and gone(inner))


def test_parent_that_does_not_stop_its_child_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import pathlib\n"
        "from deploy.local.processes import Child\n"
        f"child = Child('sleeper', {SLEEPER!r}, log=pathlib.Path({str(log)!r}))\n"
        "print(child.pid)"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    until(lambda: gone(int(out)))


def test_watchdog_reads_its_list() -> None:
    lines = ["+11\n", "+12\n", "-11\n", "x\n", "+\n", "+1\n", "+0\n", "-99\n", "+13"]
    assert watchdog.listed(lines) == {12, 13}


def test_tail_has_no_tables_and_reports_an_empty_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "cannot be read" in tail(log)
    log.write_text("")
    assert tail(log) == "(empty)"
    log.write_text("first\n+-----+\n| x   |\n\n" + "y" * 9_000 + "\nlast\n")
    assert tail(log).splitlines()[0] == "first"
    assert tail(log).splitlines()[-1] == "last"
    assert max(map(len, tail(log).splitlines())) == 500


@pytest.mark.parametrize(("status", "says"), [(-9, "was killed by signal 9"), (3, "ended with status 3")])
def test_status_is_put_into_words(status: int, says: str) -> None:
    assert how_it_ended(status) == says
