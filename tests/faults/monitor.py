"""A real Prometheus with Ouzel's rules, which scrapes the workers of a run and reports firing alerts.

To save time, every `for` and every window is shortened to seconds; expressions and labels stay the same.
"""

import json
import re
from pathlib import Path

import aiohttp

from deploy.local.processes import Child
from inference.triton.ports import free_ports

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
FOR, WINDOW = "1s", "20s"
READY_SECONDS = 120.0


def accelerated(rules: str) -> str:
    """The rules with each `for` and each window shortened."""
    return re.sub(r"\[\d+[smhd]\]", f"[{WINDOW}]", re.sub(r"\bfor: \d+[smhd]\b", f"for: {FOR}", rules))


class Monitor:
    """Prometheus, from `start` to `stop`. `program` is the path of its executable."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._port = free_ports(1)[0]
        self._child: Child | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "rules.yml").write_text(accelerated(RULES.read_text()))
        self.scrape([])
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self._folder / "rules.yml")],
            "scrape_configs": [
                {
                    "job_name": "ouzel",
                    "file_sd_configs": [{"files": [str(self._folder / "workers.json")], "refresh_interval": "1s"}],
                }
            ],
        }
        (self._folder / "prometheus.json").write_text(json.dumps(config))
        self._child = Child(
            "Prometheus",
            [
                self._program,
                f"--config.file={self._folder / 'prometheus.json'}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            log=self._folder / "prometheus.log",
        )

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(grace=20.0)
            self._child = None

    def scrape(self, ports: list[int]) -> None:
        """Set the ports of the workers."""
        aside = self._folder / "workers.aside"
        aside.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
        aside.replace(self._folder / "workers.json")

    async def firing(self, session: aiohttp.ClientSession) -> set[str]:
        """The firing alerts, with their causes if any; none while Prometheus is down."""
        try:
            async with session.get(f"http://127.0.0.1:{self._port}/api/v1/alerts") as reply:
                alerts = (await reply.json())["data"]["alerts"]
        except (aiohttp.ClientError, TimeoutError):
            return set()
        labels = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        return {f"{each['alertname']} {each.get('cause', '')}".strip() for each in labels}
