"""The HTTP API of workers on a broker: the commands of its guide, and users of another worker."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from streams.secret import Secret
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, films
from tests.support.workers import WITHOUT_MODEL, Worker

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(curl .*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = BLOCK.findall((ROOT / "docs" / "guide" / "api.md").read_text(encoding="utf-8"))
TOKEN = "token-of-a-test-run"
USERS = [f"user-{number}" for number in range(12)]


def run(command: str, port: int) -> Any:
    """The JSON that a command of the guide prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("localhost:6066", f"127.0.0.1:{port}")],
        env={**os.environ, "OUZEL_WEB_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(port: int, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def metrics(port: int) -> str:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def until(port: int, path: str, done: Any) -> Any:
    """The answer once `done` of it is true."""
    deadline = time.monotonic() + PATIENCE
    while not done(told := ask(port, path)[1]):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


@pytest.mark.parametrize("own_broker", ["embedded"], indirect=True)
async def test_any_worker_answers_about_every_user_and_the_guide_is_right(own_broker: Broker, tmp_path: Path) -> None:
    with Pipeline(
        own_broker, tmp_path, triton="", web_api="on", web_token=Secret(TOKEN), web_api_per_second=1e5
    ) as path:
        await path.prepare(films())
        first = path.begin(WITHOUT_MODEL)
        web = replace(path.settings.web, port=free_ports(1)[0])
        state = replace(path.settings.state, dir=tmp_path / "other")
        with Worker(
            replace(path.settings, web=web, state=state), tmp_path / "other.log", command=WITHOUT_MODEL
        ) as second:
            for worker in (first, second):
                await asyncio.to_thread(worker.wait_ready)
            await asyncio.to_thread(check, first, second)


def check(first: Worker, second: Worker) -> None:
    ports = [first.settings.web.port, second.settings.web.port]
    for port in ports:
        assert run(COMMANDS[0], port) == {"ids": ["click-1"]}, "sent twice"
    assert len(run(COMMANDS[1], ports[0])["entries"]) == 10
    until(ports[1], "/v1/users/ann/context", lambda out: "scenes" in out)
    for command in COMMANDS[2:]:
        assert "detail" not in (out := run(command, ports[0])), out
    example = [sys.executable, str(ROOT / "examples" / "client.py"), f"http://127.0.0.1:{ports[1]}"]
    env = {**os.environ, "OUZEL_WEB_TOKEN": TOKEN}
    printed = subprocess.run(example, env=env, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    assert printed.startswith("1. The ")
    assert len(printed.splitlines()) == 10
    events = [{"user": user, "kind": "like", "item": f"film-{at}"} for at, user in enumerate(USERS)]
    assert ask(ports[1], "/v1/events", events)[0] == 202
    for user in USERS:
        made = [
            until(port, f"/v1/recommendations/{user}", lambda out: out.get("origin") == "published") for port in ports
        ]
        assert made[0] == made[1], "both answer with the list of the user's worker"
    forwarded = [{user: ask(port, "/v1/recommend", {"user": user, "count": 3})[0] for user in USERS} for port in ports]
    assert forwarded == [dict.fromkeys(USERS, 200)] * 2
    repeats = re.findall(r"^ouzel_repeated_events_total (\S+)", "\n".join(map(metrics, ports)), re.MULTILINE)
    assert sum(map(float, repeats)) == 1, "an event that is sent twice counts once"
    order = ask(ports[0], f"/v1/users/{USERS[0]}", method="DELETE")[1]["order"]
    assert order
    for port in ports:
        until(port, f"/v1/recommendations/{USERS[0]}", lambda out: out.get("cold") is True)
        assert ask(port, f"/v1/users/{USERS[0]}/export")[0] == 404
    assert all("ouzel_lag_records{" in metrics(port) for port in ports), "both have partitions"
    second.stop()
    deadline, statuses = time.monotonic() + PATIENCE, dict[str, int]()
    while set(statuses.values()) != {200}:
        assert time.monotonic() < deadline, statuses
        time.sleep(0.1)
        statuses = {user: ask(ports[0], f"/v1/recommendations/{user}")[0] for user in USERS}
        assert set(statuses.values()) <= {200, 503}, "users of the partitions that move wait"
