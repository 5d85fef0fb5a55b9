"""`ouzel mapping run` as a child process."""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from deploy.local.processes import Child
from streams.settings import Settings, to_environment

OUZEL_MAPPING = [sys.executable, "-m", "deploy.cli", "mapping", "run"]

PAGE_SECONDS = 30.0


class MappingProcess(Child):
    """A running mapping; its output is appended to `log`. `env` is added to the environment of its settings."""

    def __init__(
        self, settings: Settings, log: Path, *, name: str = "The mapping", env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, OUZEL_MAPPING, log=log, env={**to_environment(settings), **(env or {})})
        self.settings = settings

    def page(self, path: str) -> str:
        """The body of a page, whatever its status; empty while the process does not answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.settings.mapping.port}{path}", timeout=PAGE_SECONDS
            ) as reply:
                return str(reply.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.read().decode()
        except OSError:
            return ""

    def metric(self, name: str) -> float:
        """The sum of a metric's series; `name` may include the labels."""
        lines = self.page("/metrics").splitlines()
        return sum(float(each.rpartition(" ")[2]) for each in lines if each.startswith((name + " ", name + "{")))
