"""Train a version in a child process: one that crashes or runs out of memory takes nothing else with it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.learning.ports import TrainingFailed
from deploy.local.processes import Child, how_it_ended
from inference.versions.store import Kind, VersionStore

Command = Callable[[Kind, int, int], Sequence[str]]
"""The command that trains a version of this kind from version `parent` and writes it as `number`."""

POLL_SECONDS = 0.2


class ChildTrainer:
    """Implements `deploy.learning.ports.Trainer`. What the child prints is appended to `log`."""

    def __init__(self, store: VersionStore, command: Command, log: Path) -> None:
        self._store = store
        self._command = command
        self._log = log

    async def train(self, kind: Kind, parent: int, number: int) -> None:
        child = Child(f"the training of version {number}", self._command(kind, parent, number), log=self._log)
        try:
            while child.running():  # noqa: ASYNC110 - a process that ends sets no event
                await asyncio.sleep(POLL_SECONDS)
        finally:
            status = child.kill()
        if status != 0:
            told = f"the training of version {number} {how_it_ended(status)}"
            raise TrainingFailed(f"{told}. The last lines of {self._log}:\n{child.tail()}")
        if number not in self._store.numbers():
            raise TrainingFailed(f"the training of version {number} ended without a version: see {self._log}")
