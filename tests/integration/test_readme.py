"""The README's commands, as they stand there, on Apache Kafka and a real tritonserver; and what it claims to print."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from deploy.local.processes import Child
from inference.triton.ports import free_ports
from tests.support.parts import need_kcat, need_triton
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_make_knows_every_target_that_the_readme_names() -> None:
    named = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= targets


def test_every_page_that_the_readme_links_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert all((ROOT / link).exists() for link in links), links


@pytest.mark.kafka
@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.parametrize("broker", ["kafka"], indirect=True, scope="module")
def test_your_own_events(broker: Broker, tmp_path: Path) -> None:
    need_kcat()
    need_triton()
    start, send = (block for block in BLOCKS if "ouzel " in block)
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
