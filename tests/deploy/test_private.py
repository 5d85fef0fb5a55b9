"""What people did is read by no other user of the machine, whatever the umask is and was."""

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import cli
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.processes import Child
from deploy.local.stack import claimed
from inference.triton.ports import free_ports
from schemas.codec import encode
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.app import create_app
from streams.private import private_file, private_folder
from streams.settings import Settings, to_environment
from streams.state.store import Store
from tests.conftest import start_broker
from tests.support.parts import need_kafka
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, click, films
from tests.support.workers import OUZEL_WORKER


@pytest.fixture(autouse=True)
def all_may_do_all() -> Iterator[None]:
    """The most permissive umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What of a folder, itself included, others may read, write or enter."""
    return [
        f"{oct(stat.S_IMODE(path.lstat().st_mode))} {path.relative_to(folder)}"
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


@pytest.mark.kafka
async def test_worker_state_is_readable_by_its_user_only(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a worker that is started as an operator does, on folders that were open before."""
    with start_broker("embedded", tmp_path_factory) as broker, Pipeline(broker, tmp_path, triton="") as path:
        group = path.settings.state.dir / path.settings.kafka.app_id
        wide = group / "ouzel.contexts-0"
        wide.mkdir(parents=True)
        assert open_to_others(group)
        await path.prepare(films())
        worker = started_by_hand(path)
        try:
            await path.send(EVENTS, [(f"u{n}", encode(click(f"u{n}", f"film-{n}", n))) for n in range(40)])
            await path.read(RECOMMENDATIONS, Recommendation, lambda out: len({r.user for r in out}) == 40)
            running = open_to_others(group)
        finally:
            worker.terminate()
            worker.wait(PATIENCE)
    assert len(list(group.rglob("*.log"))) >= 4, "RocksDB of four partitions"
    assert not running
    assert not open_to_others(group)


def started_by_hand(path: Pipeline) -> subprocess.Popen[bytes]:
    with (path.folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            OUZEL_WORKER,
            env={**os.environ, **to_environment(path.settings)},
            stdout=log,
            stderr=subprocess.STDOUT,
            umask=0,
        )


def test_state_that_was_open_is_closed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    group = shared / "ouzel"
    group.mkdir(mode=0o777)
    create_app(Settings.make(state_dir=shared, web_port=free_ports(1)[0]))
    assert stat.S_IMODE(group.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared.stat().st_mode) == 0o777, "others may have things beside ours"
    folder = group / "ouzel.contexts-0"
    folder.mkdir(mode=0o755)
    with Store(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    create_app(Settings.make(state_dir=tmp_path / "new" / "state", web_port=free_ports(1)[0]))
    assert not open_to_others(tmp_path / "new")


@pytest.mark.kafka
@pytest.mark.parametrize("make", [EmbeddedBroker, KafkaBroker])
def test_broker_data_is_readable_by_its_user_only(
    make: type[EmbeddedBroker] | type[KafkaBroker], tmp_path: Path
) -> None:
    if make is KafkaBroker:
        need_kafka()
    with make(tmp_path / "broker"):
        pass
    assert (tmp_path / "broker" / "broker.log").exists()
    assert not open_to_others(tmp_path / "broker")


def test_files_of_a_child_are_readable_by_its_user_only(tmp_path: Path) -> None:
    writes = "import os; os.mkdir('made'); open('made/file', 'w').close(); print('done', flush=True)"
    log = tmp_path / "logs" / "log"
    with Child("writer", [sys.executable, "-c", writes], log=log, cwd=tmp_path) as child:
        assert child.wait(PATIENCE) == 0
    assert not open_to_others(tmp_path / "made")
    assert not open_to_others(tmp_path / "logs")
    log.chmod(0o644)
    with Child("writer", [sys.executable, "-c", "print('more', flush=True)"], log=log) as child:
        assert child.wait(PATIENCE) == 0
    assert not open_to_others(tmp_path / "logs"), "a log that was open is closed"
    assert log.read_text() == "done\nmore\n"


def test_demo_folder_is_readable_by_its_user_only(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir(mode=0o777)
    with claimed(tmp_path / "demo") as folder:
        assert not open_to_others(folder)


def test_fault_report_is_readable_by_its_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = tmp_path / "fault.log"
    fault.touch(mode=0o666)
    monkeypatch.setattr(cli, "WORK", tmp_path)
    monkeypatch.setattr(cli, "FAULTS", fault)
    cli._fault(ValueError("user-4711"))
    assert "user-4711" in fault.read_text()
    assert stat.S_IMODE(fault.stat().st_mode) == 0o600


def test_folder_that_cannot_be_closed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    wide = tmp_path / "wide"
    wide.mkdir(mode=0o755)
    with monkeypatch.context() as other:
        other.setattr(Path, "chmod", refused)
        private_folder(wide)
    assert f"Others can read {wide}" in caplog.text
    assert "chmod go=" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        private_folder(wide)
        assert f"Others could read {wide}" in caplog.text
        caplog.clear()
        private_folder(wide)
        assert not caplog.text


def test_device_keeps_its_permissions() -> None:
    before = stat.S_IMODE(Path(os.devnull).stat().st_mode)
    with open(os.devnull, "ab", opener=private_file):
        pass
    assert stat.S_IMODE(Path(os.devnull).stat().st_mode) == before
