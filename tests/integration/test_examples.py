"""What stands in `examples/` does what its page says, on real brokers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.recommendations import Recommendation
from schemas.topics import RECOMMENDATIONS
from tests.support.parts import need_kcat
from tests.support.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(command: list[str], brokers: str = "") -> str:
    """The output of a command that must succeed, run where the pages say: in the root."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "OUZEL_BROKERS": brokers}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(page: Path) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S) for line in block.splitlines()]


def test_files_are_understood_without_an_option() -> None:
    asked = [each for each in commands(EXAMPLES / "files" / "README.md") if "inspect-file" in each]
    assert len(asked) == 2
    told = [run(each.split()) for each in asked]
    assert "16" in told[0]
    assert "108" in told[1]


@pytest.mark.kafka
async def test_producer_prints_a_list_with_reasons(own_broker: Broker, tmp_path: Path) -> None:
    with Pipeline(own_broker, tmp_path, triton="") as path:
        await path.prepare()
        path.start()
        command = [sys.executable, str(EXAMPLES / "producer.py"), own_broker.bootstrap]
        run(command)  # the worker may still be reading the products when it makes this list
        lines = run(command).splitlines()
    assert {line.split()[1] for line in lines} <= {"stove:", "lamp:", "kettle:"}  # the tent is liked, so not listed
    assert lines[0].startswith("1. ")
    assert all(line.partition(": ")[2] for line in lines)


@pytest.mark.kafka
async def test_files_make_lists(own_broker: Broker, tmp_path: Path) -> None:
    send, read = (each for each in commands(EXAMPLES / "files" / "README.md") if "inspect-file" not in each)
    with Pipeline(own_broker, tmp_path, triton="") as path:
        await path.prepare()
        path.start()
        assert "sent 16 items, 54 past events and 54 live events" in run(send.split(), own_broker.bootstrap)
        await path.read(RECOMMENDATIONS, Recommendation, lambda out: any(each.user == "user-3" for each in out))
        assert '"user":"user-3"' in run(read.split(), own_broker.bootstrap)


@pytest.mark.kafka
@pytest.mark.parametrize("broker", ["kafka"], indirect=True, scope="module")
async def test_kcat_makes_a_list(broker: Broker, tmp_path: Path) -> None:
    need_kcat()
    with Pipeline(broker, tmp_path, triton="") as path:
        await path.prepare()
        path.start()
        assert "sent" in run([str(EXAMPLES / "kcat.sh"), broker.bootstrap])
        lists = await path.read(RECOMMENDATIONS, Recommendation, lambda out: any(each.user == "ann" for each in out))
    assert [entry.item for entry in lists[-1].entries] == ["ronin"]
