"""The commands of the README and the quickstart, verbatim, on Apache Kafka and a real tritonserver."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from deploy.cli import cli
from deploy.local.brokers import Broker
from deploy.local.processes import Child
from inference.triton.ports import free_ports
from tests.support.parts import need_kcat, need_triton
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text()
YOUR_KAFKA = QUICKSTART[QUICKSTART.index("## Your Kafka") :]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [README, QUICKSTART], ids=["readme", "quickstart"])
def test_make_knows_every_target_that_the_page_names(page: str) -> None:
    named = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)", page, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert {a or b for a, b in named} <= targets


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_quickstart_names_commands_and_options_that_exist() -> None:
    """Only parsed: `test_your_own_events` runs the first two blocks on brokers, and the test of examples the rest."""
    for block in BLOCK.findall(QUICKSTART):
        for line in re.findall(r"^ouzel ([^#&\n]+)", block, re.MULTILINE):
            words = line.split()
            context = click.Context(cli)
            command: click.Command | None = cli
            while isinstance(command, click.Group):
                command = command.get_command(context, words.pop(0))
                assert command is not None, line
                context = click.Context(command)
            assert command is not None
            known = {option for each in command.params for option in each.opts}
            assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.kafka
@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.parametrize("broker", ["kafka"], indirect=True, scope="module")
def test_your_own_events(broker: Broker, tmp_path: Path) -> None:
    need_kcat()
    need_triton()
    start, send, *_ = BLOCK.findall(YOUR_KAFKA)
    create, build, serve, worker = (line.partition("#")[0].strip() for line in start.splitlines())
    grpc, web = free_ports(2)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OUZEL_BROKERS": broker.bootstrap,
        "OUZEL_TRITON": f"127.0.0.1:{grpc}",
        "OUZEL_WEB_PORT": str(web),
        "OUZEL_STATE_DIR": str(tmp_path / "state"),
    }

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * PATIENCE,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def background(name: str, command: str) -> Child:
        assert command.endswith(" &")
        words = command.removesuffix(" &").replace("8001", str(grpc)).split()
        log = tmp_path / f"{name}.log"
        return Child(name, words, log=log, env=environment, cwd=ROOT)

    assert "created ouzel.events" in run(create)
    run(build)
    *commands, last = send.replace("\\\n", "").splitlines()
    with background("Triton", serve) as triton:
        triton.wait_ready(lambda: "grpc 127.0.0.1" in triton.tail(), 3 * PATIENCE)
        with background("The worker", worker) as working:
            working.wait_ready(lambda: run(f"curl -sf http://127.0.0.1:{web}/readyz || true") == "ready\n", PATIENCE)
            run("\n".join(commands))
            deadline = time.monotonic() + PATIENCE
            while not (lists := run(last).splitlines()):
                assert time.monotonic() < deadline, working.tail(40)
    made = json.loads(lists[-1])["value"]
    assert made["user"] == "ann"
    assert [entry["item"] for entry in made["entries"]] == ["ronin"]
    assert made["entries"][0]["reason"]["text"]
