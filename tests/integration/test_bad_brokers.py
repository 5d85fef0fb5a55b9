"""Every command against brokers that are wrong: one line that says what and where, in time, and no traceback."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from deploy.cli import cli
from deploy.kafka import topics
from inference.triton.ports import free_ports
from tests.integration.guarded import READER, STRANGER, GuardedKafka
from tests.support.parts import need_kafka
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

TIMEOUT = 6
"""What every command is told to wait at most."""

GRACE = 30.0
"""For starting Python, looking for the cause and leaving, on a machine that is busy."""

COMMANDS = {
    "topics create": ["topics", "create"],
    "topics list": ["topics", "list"],
    "read": ["read", "recommendations"],
    "read --follow": ["read", "recommendations", "--follow"],
    "export lists": ["export", "lists", "lists.jsonl"],
    "forget": ["forget", "zoe-4711"],
    "replay": ["replay", "--items", "items.csv", "--events", "events.csv", "--speed", "5"],
    "replay --watch": ["replay", "--items", "items.csv", "--events", "events.csv", "--speed", "5", "--watch"],
    "log --once": ["log", "--once"],
    "learn": ["learn"],
    "ope": ["ope", "--log", "training-log"],
    "mapping check": ["mapping", "check", "mapping.toml", "--topic", "clicks"],
    "mapping run": ["mapping", "run", "mapping.toml"],
    "models list": ["models", "list"],
    "models show": ["models", "show", "2"],
    "models diff": ["models", "diff", "2", "3"],
    "models shadow": ["models", "shadow", "2"],
    "models canary": ["models", "canary", "2"],
    "models promote": ["models", "promote", "2"],
    "models rollback": ["models", "rollback"],
}
"""Every command that talks to brokers, in each way that it does."""

ALIKE = {"models show", "models diff", "models shadow", "models canary", "models rollback"}
"""These ask brokers as `models list` and `models promote` do: one way of wrong brokers is enough for them."""

DIFFERENT = tuple(name for name in COMMANDS if name not in ALIKE)

WITHOUT_BROKERS = {
    *("ask", "inspect-file", "demo", "evaluate", "lineage", "loop", "pseudonym", "train", "triton build"),
    "triton serve",
}
"""These talk to none, or start their own."""

RUNS_ON = {"worker"}
"""A worker is a service: it waits for brokers, and its log and its pages say why."""

WAITS = {"mapping run"}
"""A service once it has seen its topics: for a right to write it waits, and its log and its pages say so."""

ROLES = {"ouzel.models": "Read", "ouzel.model-acks": "Read", "ouzel.comparisons": "Read"}
TOPICS = {
    "read": {"ouzel.recommendations": "Read"},
    "read --follow": {"ouzel.recommendations": "Read"},
    "export lists": {"ouzel.recommendations": "Read"},  # the first of those that it reads, one after the other
    "forget": {"ouzel.privacy": "Write", "ouzel.privacy-receipts": "Read"},
    "replay": {"ouzel.items": "Write", "ouzel.events": "Write"},
    "replay --watch": {"ouzel.items": "Write", "ouzel.events": "Write"},
    "log --once": {"ouzel.events": "Read", "ouzel.feedback": "Read", "ouzel.privacy-receipts": "Read"},
    "learn": ROLES,
    "mapping run": {"ouzel.events": "Write", "ouzel.dead-letters": "Write"},
    "ope": {"ouzel.items": "Read"},
    "models list": ROLES,
    "models promote": ROLES,
}
"""What each needs, and which right on it."""

ITEMS = "item,title\n" + "".join(f"film-{number},Film {number}\n" for number in range(3))
EVENTS = "user,item,timestamp,rating\n" + "".join(f"u{n % 5},film-{n % 3},{881250949 + n},5\n" for n in range(2_000))


MAPPING = '[[events]]\ntopic = "clicks"\nuser = "user"\nitem = "item"\nkind = { value = "click" }\n'


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    line: str
    seconds: float


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_every_command_is_tried_here() -> None:
    known = {name.partition(" --")[0] for name in COMMANDS}
    for name, command in leaves(cli):
        options = {option.name for option in command.params}
        if "brokers" in options or name in known:
            assert name in known, f"try `ouzel {name}` against bad brokers too"
            assert "timeout" in options, f"`ouzel {name}` waits for brokers: give it --timeout"
        else:
            assert name in WITHOUT_BROKERS | RUNS_ON, f"does `ouzel {name}` talk to brokers? Say so here"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    (made / "items.csv").write_text(ITEMS)
    (made / "events.csv").write_text(EVENTS)
    (made / "mapping.toml").write_text(MAPPING)
    return made


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    """A broker without topics."""
    need_kafka()
    with GuardedKafka(tmp_path_factory.mktemp("bare")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    """A broker with every topic."""
    need_kafka()
    with GuardedKafka(tmp_path_factory.mktemp("guarded")) as running:
        asyncio.run(topics.create(running.bootstrap))
        running.allow(READER, "Describe", "DescribeConfigs")
        yield running


async def start(
    folder: Path, name: str, environment: dict[str, str], timeout: int = TIMEOUT
) -> asyncio.subprocess.Process:
    command = [
        sys.executable,
        "-W",
        "error",
        "-X",
        "dev",
        "-m",
        "deploy.cli",
        *COMMANDS[name],
        "--timeout",
        str(timeout),
    ]
    root = str(Path(__file__).parents[2])
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OUZEL_")}
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**clean, "PYTHONPATH": root, "OUZEL_TRAINING_LOG": "training-log", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end_of(process: asyncio.subprocess.Process, began: float, name: str) -> Ended:
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        raise AssertionError(f"`ouzel {name}` had not ended after {PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    told = err.decode()
    assert "Traceback" not in told + out.decode(), told + out.decode()
    # Python's development mode logs slow steps of the event loop, of which a busy machine has many.
    lines = [line for line in told.splitlines() if " WARNING asyncio: Executing " not in line]
    assert len(lines) == (process.returncode != 0), f"`ouzel {name}`: {told or out.decode()}"
    return Ended(process.returncode or 0, out.decode(), "".join(lines), time.monotonic() - began)


def all_of(folder: Path, environment: dict[str, str], names: tuple[str, ...] = DIFFERENT) -> dict[str, Ended]:
    """How each of these commands ends, three at a time."""

    async def run() -> dict[str, Ended]:
        room = asyncio.Semaphore(3)

        async def one(name: str) -> Ended:
            async with room:
                began = time.monotonic()
                return await end_of(await start(folder, name, environment), began, name)

        ended = await asyncio.gather(*(one(name) for name in names))
        return dict(zip(names, ended, strict=True))

    return asyncio.run(run())


def check(ended: dict[str, Ended], *says: str, within: float = TIMEOUT) -> None:
    """Each command failed in time, with a line that holds all of `says`."""
    for name, one in ended.items():
        assert one.code == 1, f"`ouzel {name}` ended with {one.code}: {one.line or one.out}"
        assert one.line.startswith("ouzel: "), one.line
        assert "bug in Ouzel" not in one.line
        assert one.seconds < within + GRACE, f"`ouzel {name}` took {one.seconds:.0f} s"
        for part in says:
            assert part in one.line, f"`ouzel {name}`: {one.line}"


def test_address_without_a_listener(folder: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    ended = all_of(folder, {"OUZEL_BROKERS": address}, tuple(COMMANDS))
    check(ended, f"no broker answers at {address}", "refused", "OUZEL_BROKERS")


def test_silent_listener(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        check(all_of(folder, {"OUZEL_BROKERS": address}), address, "does not answer", "OUZEL_SECURITY")


@pytest.mark.parametrize("address", ["kafka://127.0.0.1:9092", "127.0.0.1:port", "127.0.0.1:0,"])
def test_invalid_address(folder: Path, address: str) -> None:
    check(all_of(folder, {"OUZEL_BROKERS": address}, ("topics list",)), "host:port", "OUZEL_BROKERS")


def test_broker_advertises_an_unreachable_address(bare: GuardedKafka, folder: Path) -> None:
    ended = all_of(folder, {"OUZEL_BROKERS": bare.wrong})
    check(ended, bare.wrong, bare.silent, "advertised.listeners")


def test_missing_topics(bare: GuardedKafka, folder: Path) -> None:
    ended = all_of(folder, {"OUZEL_BROKERS": bare.bootstrap}, tuple(TOPICS))
    check(ended, bare.bootstrap, "`ouzel topics create`")
    for name, needed in TOPICS.items():
        for topic in needed:
            assert topic in ended[name].line
    listed = all_of(folder, {"OUZEL_BROKERS": bare.bootstrap}, ("topics list",))["topics list"]
    assert listed.code == 0
    assert listed.out.count("missing: run `ouzel topics create`") == len(listed.out.splitlines())


def test_user_without_rights(guarded: GuardedKafka, folder: Path) -> None:
    ended = all_of(folder, guarded.as_user(STRANGER))
    check(ended, guarded.login, f"as user {STRANGER}", "not allowed to", "kafka-acls")
    for name, needed in TOPICS.items():
        for topic, right in needed.items():
            assert f"{right} {topic}" in ended[name].line
    assert "Create ouzel.items" in ended["topics create"].line
    assert "Describe ouzel.items" in ended["topics list"].line


def test_topics_may_be_seen_and_neither_read_nor_written(guarded: GuardedKafka, folder: Path) -> None:
    names = tuple(name for name in TOPICS if name not in WAITS)
    ended = all_of(folder, guarded.as_user(READER), names)
    check(ended, guarded.login, f"as user {READER}", "not allowed to", "kafka-acls")
    for name in names:
        needed = TOPICS[name]
        assert any(f"{right} {topic}" in ended[name].line for topic, right in needed.items()), ended[name].line
    allowed = all_of(folder, guarded.as_user(READER), ("topics create", "topics list"))
    assert {one.code for one in allowed.values()} == {0}


def test_wrong_login(guarded: GuardedKafka, folder: Path) -> None:
    wrong = secrets.token_urlsafe(12)
    environment = guarded.as_user(STRANGER) | {"OUZEL_SASL_PASSWORD": wrong}
    ended = all_of(folder, environment)
    check(ended, guarded.login, "OUZEL_SASL_PASSWORD")
    assert not any(wrong in one.line for one in ended.values())


def test_stopped_broker(guarded: GuardedKafka, folder: Path) -> None:
    os.kill(guarded.pid, signal.SIGSTOP)
    try:
        check(all_of(folder, {"OUZEL_BROKERS": guarded.bootstrap}), guarded.bootstrap, "does not answer")
    finally:
        os.kill(guarded.pid, signal.SIGCONT)


def test_broker_dies_while_the_command_runs(tmp_path: Path, folder: Path) -> None:
    need_kafka()
    names = ("read --follow", "forget", "replay", "replay --watch")

    async def run(broker: GuardedKafka) -> dict[str, Ended]:
        environment = {"OUZEL_BROKERS": broker.bootstrap}
        # `forget` waits for as long as it is told to: long enough to be interrupted.
        seconds = {"forget": 40}
        running = {name: await start(folder, name, environment, seconds.get(name, TIMEOUT)) for name in names}
        await asyncio.to_thread(
            until_read, broker.bootstrap, "privacy", lambda values: any(v["user"] == "zoe-4711" for v in values)
        )
        await asyncio.to_thread(until_read, broker.bootstrap, "events", lambda values: len(values) > 20)
        broker.kill()
        began = time.monotonic()
        ended = await asyncio.gather(*(end_of(running[name], began, name) for name in names))
        return dict(zip(names, ended, strict=True))

    with GuardedKafka(tmp_path) as broker:
        asyncio.run(topics.create(broker.bootstrap))
        ended = asyncio.run(run(broker))
        patient = {"forget": ended.pop("forget")}
        check(ended, f"no broker answers at {broker.bootstrap}")
        check(patient, f"no broker answers at {broker.bootstrap}", "but reading its receipt failed", within=40)


def until_read(bootstrap: str, topic: str, enough: Callable[[list[dict[str, object]]], bool]) -> None:
    """Wait until the values on a topic are enough."""
    from deploy.kafka.reader import named, read

    deadline = time.monotonic() + PATIENCE
    while True:
        lines: list[str] = []
        asyncio.run(read(bootstrap, named(topic), lines.append))
        if enough([json.loads(line)["value"] for line in lines]):
            return
        assert time.monotonic() < deadline, f"not enough on {topic}"
