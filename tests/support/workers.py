"""`ouzel worker` as a child process, observed through its pages and its log."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

from deploy.errors import DeployError
from deploy.local.processes import Child, Probe
from streams.settings import Settings, to_environment
from tests.support.patience import PATIENCE

OUZEL_WORKER = [sys.executable, "-m", "deploy.cli", "worker"]
WITHOUT_MODEL = [sys.executable, "-c", "import sys; from streams.worker import run; sys.exit(run())"]
"""A worker of the event plane alone, which starts faster and makes behavioural lists."""

PAGE_SECONDS = 30.0
LOG_LINES = 40


class Worker(Child):
    """A running worker; its output is appended to `log`. `env` is added to the environment of its settings."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        name: str = "The worker",
        command: Sequence[str] = OUZEL_WORKER,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, command, log=log, env={**to_environment(settings), **(env or {})})
        self.settings = settings

    def page(self, path: str) -> str:
        """The body of a page, whatever its status; empty while the worker does not answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.settings.web.port}{path}", timeout=PAGE_SECONDS
            ) as reply:
                return str(reply.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.read().decode()
        except (OSError, HTTPException):
            return ""

    def ready(self) -> bool:
        return self.page("/readyz") == "ready\n"

    def series(self, name: str) -> list[float]:
        """The values of a metric, one per series; `name` may include the labels. Empty without an answer."""
        lines = self.page("/metrics").splitlines()
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + " ", name + "{"))]

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        return sum(self.series(name))

    def wait_ready(self, probe: Probe | None = None, timeout: float = PATIENCE) -> None:
        """Wait until the worker is ready, or until `probe` is true. Raises `StartFailed` as `Child` does."""
        super().wait_ready(probe or self.ready, timeout)

    def until_metric(self, name: str, least: float, seconds: float = PATIENCE, *, every: float = 0.1) -> None:
        """Return when the sum of the metric's series is `least` or more. Raises as `until`."""
        self.until(lambda: self.metric(name) >= least, f"{name} of {least:,g}", seconds, every=every)

    def until(self, done: Callable[[], bool], what: str, seconds: float = PATIENCE, *, every: float = 0.05) -> None:
        """Return when `done()` is true. Raises `DeployError` if the worker exits first, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not done():
            if not self.running() or time.monotonic() > deadline:
                why = f"not within {seconds:g} s" if self.running() else f"{self.name} ended"
                raise DeployError(f"{what}: {why}. {self.page('/readyz')}\n{self.log}:\n{self.tail(LOG_LINES)}")
            time.sleep(every)
