"""No secret of ours reaches the environment of a child that has no use for it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local import stack as stage
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.pool import in_children
from deploy.local.processes import Child
from deploy.local.stack import Stage
from inference.progress import Progress
from streams.secret import Secret
from streams.settings import throwaway, to_environment
from tests.support.parts import need, need_kafka
from tests.support.patience import until

VALUE = "hunter2-hunter2-hunter2"
SECRETS = (
    "OUZEL_SASL_PASSWORD",
    "OUZEL_WEB_TOKEN",
    "OUZEL_PSEUDONYM_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "HF_TOKEN",
    "MYSQL_PWD",
)
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def secrets_in_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that holds secrets starts the children."""
    need(Path("/proc/self/environ").exists(), "The environments are looked for in /proc, which is Linux's.")
    for name in SECRETS:
        monkeypatch.setenv(name, VALUE)


def environment_of(pid: int) -> Mapping[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def descendants(pid: int) -> list[int]:
    """The process and what it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in descendants(int(child)))]


@pytest.mark.kafka
@pytest.mark.parametrize("make", [EmbeddedBroker, KafkaBroker])
def test_broker_has_no_secret(make: type[EmbeddedBroker] | type[KafkaBroker], tmp_path: Path) -> None:
    if make is KafkaBroker:
        need_kafka()
    with make(tmp_path / "broker") as broker:
        for pid in descendants(broker.pid):
            held = environment_of(pid)
            assert not [name for name, value in held.items() if VALUE in value or name in SECRETS]
            assert held["PATH"]


def test_worker_of_the_demo_has_only_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_why_no_triton", lambda: "")
    settings = throwaway("h:1", sasl_password=Secret("the worker's own"), state_dir=tmp_path)
    with Stage(tmp_path, tmp_path, EmbeddedBroker(tmp_path)) as made:
        triton = made._child("Triton", SLEEPER, "triton.log")
        worker = made._child("Worker 1", SLEEPER, "worker.log", to_environment(settings))
        started(triton, worker)
        held, own = environment_of(triton.pid), environment_of(worker.pid)
    assert not [name for name in held if name.startswith("OUZEL_")]
    assert own["OUZEL_SASL_PASSWORD"] == "the worker's own"
    for each in (held, own):
        assert VALUE not in each.values()
        assert each["HF_HUB_OFFLINE"] == "1"


def started(*children: Child) -> None:
    """Return once they run their own program, not this process's copy any more."""
    for child in children:
        until(lambda child=child: b"sleep" in Path(f"/proc/{child.pid}/cmdline").read_bytes())


def test_watchdog_has_no_secret(tmp_path: Path) -> None:
    processes._watch.close()  # one that an earlier test began
    with Child("sleeper", SLEEPER, log=tmp_path / "log"):
        watchdog = processes._watch._process
        assert watchdog is not None
        until(lambda: b"watchdog" in Path(f"/proc/{watchdog.pid}/cmdline").read_bytes())
        assert VALUE not in environment_of(watchdog.pid).values()


def test_child_has_inherited_and_given_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path)
    kept = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "HF_HOME": folder, "JAVA_HOME": folder}
    kept |= {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": folder, "LD_LIBRARY_PATH": folder}
    kept |= {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    kept |= {"CUDA_VISIBLE_DEVICES": "0", "SSL_CERT_FILE": "authorities.pem"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    with Child("sleeper", SLEEPER, log=tmp_path / "log", env={"OUZEL_WEB_TOKEN": "given"}) as child:
        started(child)
        held = environment_of(child.pid)
    assert held.items() >= kept.items()
    assert held["OUZEL_WEB_TOKEN"] == "given"
    assert VALUE not in held.values()


def test_jobs_in_separate_processes_have_no_settings_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))  # where they find `names`
    found = in_children(names, [1, 2], processes=2, progress=lambda *_: None)
    for each in found:
        assert "PATH" in each
        assert not [name for name in each if name.startswith("OUZEL_")]
    assert os.environ["OUZEL_WEB_TOKEN"] == VALUE, "and this process still has them"


def names(_job: int, _progress: Progress) -> list[str]:
    return list(os.environ)
