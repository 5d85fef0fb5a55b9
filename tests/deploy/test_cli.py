"""The command line: help for every command, errors in one line, and files in and topics out on a broker."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.cli import cli
from deploy.commands.options import MAIN_SETTINGS
from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from streams.settings import variable
from tests.support.parts import need_triton
from tests.support.patience import PATIENCE

EVENTS = """who,what,when,stars
ann,heat,881250949,5
ann,fargo,881250950,3
bob,heat,881250951,4
bob,,881250952,4
"""
ITEMS = """what,title,genres
heat,Heat (1995),crime|thriller
fargo,Fargo (1996),crime
"""


def ouzel(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_every_command_and_option_says_what_it_does(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option) and not isinstance(option.type, click.Choice):
            assert option.help, f"{path}: {option.name} has no help"


def test_commands_of_the_contributing_page_and_the_help_agree() -> None:
    names = {path[0] for path in commands(cli)}
    assert names == {
        "demo",
        "loop",
        "worker",
        "replay",
        "read",
        "forget",
        "pseudonym",
        "topics",
        "triton",
        "train",
        "evaluate",
        "inspect-file",
        "log",
        "learn",
        "mapping",
        "lineage",
        "models",
        "ope",
        "export",
        "ask",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("read", "nonsense"), "there is no topic nonsense. Readable topics: "),
        (("read", "events", "--brokers", "127.0.0.1:1"), "no broker answers at 127.0.0.1:1"),
        (("replay", "--brokers", "127.0.0.1:1"), "there is nothing to replay"),
        (("triton", "serve", "--repository", "nowhere"), "run `ouzel triton build`"),
    ],
)
def test_error_is_one_line_that_says_what_to_do(arguments: tuple[str, ...], says: str) -> None:
    if "triton" in arguments:
        need_triton()
    done = ouzel(*arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "path", [path for path in commands(cli) if "--brokers" in CliRunner().invoke(cli, [*path, "-h"]).output]
)
def test_help_shows_the_default_brokers(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUZEL_BROKERS", raising=False)
    assert "default: 127.0.0.1:9092]" in " ".join(CliRunner().invoke(cli, [*path, "-h"]).output.split())
    monkeypatch.setenv("OUZEL_BROKERS", "broker.example:9093")
    told = " ".join(CliRunner().invoke(cli, [*path, "-h"]).output.split())
    assert "default: broker.example:9093]" in told
    assert "127.0.0.1:9092" not in told


def test_help_of_the_worker_names_its_settings_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUZEL_BROKERS", "broker.example:9093")
    monkeypatch.setenv("OUZEL_PSEUDONYM_KEY", "0123456789abcdefghij")
    told = " ".join(CliRunner().invoke(cli, ["worker", "-h"]).output.split())
    for name in MAIN_SETTINGS:
        assert variable(name) in told
    assert "[broker.example:9093]" in told
    assert "docs/reference/settings.md" in told
    assert "0123456789" not in told
    monkeypatch.setenv("OUZEL_WEB_PORT", "none")
    assert CliRunner().invoke(cli, ["worker", "-h"]).exit_code == 0


@pytest.mark.parametrize("address", ["kafka://b:9092", "b:port", "b:0", "b:70000", ":9092", "b:1,,"])
def test_invalid_address_is_refused_in_one_line(address: str) -> None:
    done = ouzel("topics", "list", "--brokers", address)
    assert done.returncode == 1
    assert "host:port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_worker_with_a_bad_setting_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUZEL_LIST_DEADLINE_MS", "soon")
    done = ouzel("worker")
    assert done.returncode == 2
    assert "OUZEL_LIST_DEADLINE_MS" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_go_in_and_topics_come_out(broker: Broker, tmp_path: Path) -> None:
    asyncio.run(create(broker.bootstrap))
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text(ITEMS)
    columns = ("--user-column", "who", "--item-column", "what", "--time-column", "when", "--rating-column", "stars")
    files = ("--events", str(tmp_path / "events.csv"), "--items", str(tmp_path / "items.csv"))
    sent = ouzel("replay", "--brokers", broker.bootstrap, *files, *columns)
    assert sent.returncode == 0, sent.stderr
    assert "sent 2 items, 0 past events and 3 live events" in sent.stdout
    assert "rejected, 1: no item in the column 'what' (--item-column), first in row 4" in sent.stdout

    items = ouzel("read", "items", "--brokers", broker.bootstrap, "--key", "heat")
    (item,) = [json.loads(line)["value"] for line in items.stdout.splitlines()]
    assert (item["title"], item["attributes"]) == ("Heat (1995)", ["crime", "thriller"])
    events = ouzel("read", "ouzel.events", "--brokers", broker.bootstrap)
    values = [json.loads(line)["value"] for line in events.stdout.splitlines()]
    assert sorted((v["user"], v["item"], v["value"]) for v in values) == [
        ("ann", "fargo", 3.0),
        ("ann", "heat", 5.0),
        ("bob", "heat", 4.0),
    ]
