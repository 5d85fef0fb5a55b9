"""A training in a child process: what it leaves, and what a failure says."""

import asyncio
import sys
from pathlib import Path

import pytest

from deploy.learning.child import ChildTrainer
from deploy.learning.ports import TrainingFailed
from inference.versions.store import VersionStore
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[3]
WRITE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from inference.versions.store import VersionStore
from tests.support.learning_parts import write_version
with VersionStore(Path({store!r})).written({number}) as folder:
    write_version(folder, {number}, {parent})
    {last}
"""


def trainer(tmp_path: Path, last: str = "") -> tuple[ChildTrainer, VersionStore]:
    store = VersionStore(tmp_path / "versions")

    def command(kind: str, parent: int, number: int) -> list[str]:
        text = WRITE.format(root=str(ROOT), store=str(store.root), number=number, parent=parent, last=last)
        return [sys.executable, "-c", text]

    return ChildTrainer(store, command, tmp_path / "training.log"), store


async def test_child_writes_a_version(tmp_path: Path) -> None:
    training, store = trainer(tmp_path)
    await training.train("full", 1, 2)
    assert store.record(2).parent == 1


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("raise MemoryError('no room')", "no room"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
async def test_child_that_fails_leaves_no_version(tmp_path: Path, last: str, said: str) -> None:
    training, store = trainer(tmp_path, last)
    with pytest.raises(TrainingFailed, match=said):
        await training.train("full", 1, 2)
    assert store.numbers() == []


async def test_child_that_writes_nothing_is_a_failure(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "versions")
    training = ChildTrainer(store, lambda *_: [sys.executable, "-c", ""], tmp_path / "log")
    with pytest.raises(TrainingFailed, match="ended without a version"):
        await training.train("items", 1, 2)


async def test_cancelling_ends_the_child(tmp_path: Path) -> None:
    training, store = trainer(tmp_path, "import time; time.sleep(600)")
    task = asyncio.create_task(training.train("full", 1, 2))
    async with asyncio.timeout(PATIENCE):
        while not list(store.root.glob(".tmp-*")):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.numbers() == []
    assert store.clear_unfinished() == 1
