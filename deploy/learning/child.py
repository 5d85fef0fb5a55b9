"""Train and judge versions in child processes: one that crashes or runs out of memory takes nothing else with it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.learning.job import Judged
from deploy.learning.ports import JudgingFailed, TrainingFailed
from deploy.local.processes import Child, how_it_ended
from inference.versions.store import Gate, Kind, VersionStore

Command = Callable[[Kind, int, int], Sequence[str]]
"""The command that trains a version of this kind from version `parent` and writes it as `number`."""

GatesCommand = Callable[[str, int, int, Path], Sequence[str]]
"""The command that does this work, "judge" or "measure", on version `number` beside the champion, into a file."""

POLL_SECONDS = 0.2


class ChildTrainer:
    """Implements `deploy.learning.ports.Trainer`. What the child prints is appended to `log`."""

    def __init__(
        self, store: VersionStore, command: Command, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._store = store
        self._command = command
        self._log = log
        self._environment = environment

    async def train(self, kind: Kind, parent: int, number: int) -> None:
        what = f"the training of version {number}"
        failed = await _run(what, self._command(kind, parent, number), self._log, self._environment)
        if failed:
            raise TrainingFailed(failed)
        if number not in self._store.numbers():
            raise TrainingFailed(f"{what} ended without a version: see {self._log}")


class ChildGates:
    """Implements `deploy.learning.ports.Gates`. Results pass through a file in `folder`."""

    def __init__(
        self, command: GatesCommand, log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = command
        self._log = log
        self._folder = folder
        self._environment = environment

    async def judge(self, number: int, champion: int) -> list[Gate]:
        return await self._judged("judge", number, champion)

    async def measure(self, number: int, champion: int) -> list[Gate]:
        return await self._judged("measure", number, champion)

    async def _judged(self, work: str, number: int, champion: int) -> list[Gate]:
        result = self._folder / f".{work}-{number}.json"
        result.unlink(missing_ok=True)
        what = f"the work on version {number} ({work})"
        failed = await _run(what, self._command(work, number, champion, result), self._log, self._environment)
        if failed:
            raise JudgingFailed(failed)
        try:
            return Judged.take(result)
        except (OSError, msgspec.DecodeError) as error:
            raise JudgingFailed(f"{what} ended without a result ({error}): see {self._log}") from None


async def _run(what: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None) -> str:
    """Run a child to its end, and kill it if cancelled; how it failed, empty if it did not."""
    child = Child(what, command, log=log, env=environment)
    try:
        while child.running():  # noqa: ASYNC110 - a process that ends sets no event
            await asyncio.sleep(POLL_SECONDS)
    finally:
        status = child.kill()
    return f"{what} {how_it_ended(status)}. The last lines of {log}:\n{child.tail()}" if status != 0 else ""
