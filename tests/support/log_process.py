"""`ouzel log` as a child process, and the strike "kill -9 while it writes"."""

import asyncio
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from random import Random

from deploy.local.processes import Child
from streams.settings import Settings, to_environment
from streams.training_log.files import TEMPORARY
from tests.support.patience import PATIENCE

OUZEL_LOG = [sys.executable, "-m", "deploy.cli", "log"]

WRITING_SECONDS = 30.0
"""How long a strike waits for an unfinished file before it strikes anyway."""

PAGE_SECONDS = 30.0


class LogProcess(Child):
    """A running `ouzel log`; its output is appended to `log`. `env` is added to the environment of its settings."""

    def __init__(
        self, settings: Settings, log: Path, *, name: str = "The training log", env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, OUZEL_LOG, log=log, env={**to_environment(settings), **(env or {})})
        self.settings = settings

    def metric(self, name: str) -> float:
        """The sum of a metric's series; 0 while the process does not answer."""
        address = f"http://127.0.0.1:{self.settings.training_log.port}/metrics"
        try:
            with urllib.request.urlopen(address, timeout=PAGE_SECONDS) as reply:
                lines = reply.read().decode().splitlines()
        except OSError:
            return 0.0
        return sum(float(each.rpartition(" ")[2]) for each in lines if each.startswith((name + " ", name + "{")))


async def kill_while_writing(process: LogProcess, draw: Random) -> str:
    """End `ouzel log` with SIGKILL at a moment drawn from `draw`; says which: during a write of its root, which must
    be a folder, or any time within two flush intervals."""
    settings = process.settings.training_log
    if draw.random() < 0.5:
        moment = "any time"
        await asyncio.sleep(draw.uniform(0.0, 2 * settings.flush_s))
    else:
        moment = await asyncio.to_thread(_wait_for_a_write, Path(settings.root), draw.random() < 0.5)
    process.kill()
    return moment


def _wait_for_a_write(root: Path, finished: bool) -> str:
    """Wait for an unfinished file, or for one that was just finished."""
    known = set(root.rglob("*.parquet"))
    deadline = time.monotonic() + min(WRITING_SECONDS, PATIENCE)
    while time.monotonic() < deadline:
        if finished and set(root.rglob("*.parquet")) - known:
            return "after a write"
        if not finished and next(root.rglob(f"{TEMPORARY}*"), None) is not None:
            return "during a write"
    return "no write"
