"""What others wrote reaches a terminal or a log as text: nothing in it is obeyed."""

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from deploy import cli
from deploy.errors import DeployError
from deploy.files.report import printed
from deploy.files.sources import Report
from deploy.kafka.reader import line as line_of
from deploy.local.progress import Bars, told_by_bars
from deploy.local.steps import Steps
from deploy.local.terminal import Terminal, say, say_json
from deploy.replay.terminal import Show, View, line
from schemas.codec import encode
from schemas.recommendations import Reason, Source
from schemas.shown import shown, shown_in_line, shown_json
from schemas.topics import RECOMMENDATIONS
from streams.log_lines import LogLines
from tests.deploy.replay.test_terminal import busy, made

ROOT = Path(__file__).parents[2]
HOSTILE = "a\x1b]0;pwned\x07b\x9b31m\u202ec\u2066[bold]x[/]\x7f\u200f\x08\r\t\u2028"
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
STYLES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
"""What rich itself sends a terminal."""


def check(text: str) -> None:
    assert ACTING.search(text) is None, ascii(text)


@given(st.text())
def test_shown_text_has_no_control_characters_and_no_other_change(text: str) -> None:
    check(shown(text))
    check(shown_in_line(text))
    assert "\n" not in shown_in_line(text)
    if ACTING.search(text) is None:
        assert shown(text) == text


@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_the_same_value(value: object) -> None:
    written = msgspec.json.encode(value).decode()
    check(shown_json(written))
    assert json.loads(shown_json(written)) == value


COMMANDS: dict[str, list[str]] = {
    "worker": [],
    "ask": ["u", "--url", "http://127.0.0.1:1", "--timeout", "1"],
    "topics create": ["--brokers", "127.0.0.1:1", "--timeout", "0.3"],
    "topics list": ["--brokers", "127.0.0.1:1", "--timeout", "0.3"],
    "log": ["--timeout", "1"],
    "loop": ["--passes", "nowhere"],
    "export lists": ["lists.jsonl", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "read": ["recommendations", "--brokers", "127.0.0.1:1", "--timeout", "0.3"],
    "ope": ["--decisions", "nowhere.csv"],
    "pseudonym": ["u"],
    "forget": ["u", "--brokers", "127.0.0.1:1", "--timeout", "0"],
    "replay": ["--events", "nowhere.csv"],
    "evaluate": ["--events", "nowhere.csv"],
    "inspect-file": ["nowhere.csv"],
    "train": ["--events", "nowhere.csv"],
    "triton build": ["--source", "nowhere", "--threads", "0"],
    "triton serve": ["--repository", "nowhere"],
    "demo": ["--seconds", "0"],
    "learn": ["--brokers", "127.0.0.1:1", "--timeout", "1"],
    "lineage": ["u", "e", "--log", "nowhere"],
    "mapping check": ["nowhere.toml"],
    "mapping run": ["nowhere.toml"],
    "models list": ["--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models show": ["2", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models diff": ["2", "3", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models shadow": ["2", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models canary": ["2", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models promote": ["2", "--brokers", "127.0.0.1:1", "--timeout", "1"],
    "models rollback": ["--brokers", "127.0.0.1:1", "--timeout", "1"],
}
"""Every command, and arguments with which it soon ends with an error."""


def commands(group: click.Group = cli.cli, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name, command


def test_every_command_is_here() -> None:
    assert {name for name, _ in commands()} == set(COMMANDS)


def takes_text(parameter: click.Parameter) -> bool:
    return not isinstance(parameter.type, click.types.BoolParamType)


CASES = [
    (name, parameter.opts[0] if isinstance(parameter, click.Option) else "")
    for name, command in commands()
    for parameter in command.params
    if takes_text(parameter)
] + [(name, option) for name in COMMANDS for option in (HOSTILE, "--" + HOSTILE)]


def ended(arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["ouzel", *arguments])
    with pytest.raises(SystemExit):
        cli.main()
    out, err = capfd.readouterr()
    return out + err


@pytest.mark.timeout(60)
@pytest.mark.parametrize("hostile", [HOSTILE, "\udcff" + HOSTILE, f"nowhere/[/x]{HOSTILE}\n.csv"], ids=ascii)
@pytest.mark.parametrize(("command", "option"), CASES, ids=ascii)
def test_hostile_arguments_come_back_as_text(
    command: str,
    option: str,
    hostile: str,
    *,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUZEL_BROKERS", "127.0.0.1:1")
    if command == "worker" and option == "":
        monkeypatch.setenv("OUZEL_WEB_PORT", "no number" + hostile.replace("\0", ""))
    given_ = [option, hostile] if option.startswith("-") and option != "--" + HOSTILE else [option or hostile]
    text = ended([*command.split(), *given_, *COMMANDS[command]], capfd, monkeypatch)
    check(text)
    assert "bug in Ouzel" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("stdin", [b"\xff\x1b[2J\n", b"", b"\x1b]0;x\x07" * 100_000], ids=["bytes", "empty", "long"])
@pytest.mark.parametrize("command", ["pseudonym", "forget", "ask"])
def test_ids_on_standard_input_are_any_bytes(
    stdin: bytes, command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    text = ended([command, "-", *COMMANDS[command][1:]], capfd, monkeypatch)
    check(text)
    assert "bug in Ouzel" not in text


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""').replace("\r", "") + '"'


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("holds", ["events", "items"])
def test_hostile_content_of_files_comes_out_as_text(
    form: str, holds: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["user", "item", "event", "time", HOSTILE] if holds == "events" else ["id", "title", "genres", HOSTILE]
    rows = [
        [f"u\u202e{n}", f"i\u2066{n}", word, str(1_600_000_000 + n), HOSTILE]
        for n, word in enumerate(["view", HOSTILE])
    ]
    if holds == "items":
        rows = [[f"i\u202e{n}", f"t{HOSTILE}", f"{HOSTILE}|b", "x"] for n in range(3)]
    path = tmp_path / f"{HOSTILE.replace('/', '')}.{form}"
    if form == "csv":
        text = "".join(",".join(map(quoted, row)) + "\n" for row in [names, *rows])
    else:
        text = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    path.write_bytes(text.encode())
    columns = ["--user-column", "user", "--kind-column", "event"] if holds == "events" else []
    said = ended(["inspect-file", str(path), "--as", holds, *columns], capfd, monkeypatch)
    check(said)
    assert "bug in Ouzel" not in said
    events = [json.loads(each) for each in said.splitlines() if each.startswith("{")]
    assert events, said
    if holds == "events":
        assert events[0]["user"] == "u\u202e0"


def hostile_show() -> Show:
    """A busy picture in which every text of others is hostile."""
    show = busy()
    show.notes.warning = show.notes.reading = HOSTILE
    person = show.board.followed
    assert person is not None
    assert person.latest is not None
    reason = Reason(code=Source.COVISITED, text=HOSTILE)
    entries = tuple(msgspec.structs.replace(entry, reason=reason) for entry in person.latest.entries)
    person.latest = msgspec.structs.replace(person.latest, entries=entries)
    for n in range(4):
        show.board.came(made("other", HOSTILE, f"i{n}"), 11.0)
    titles = dict.fromkeys([f"i{n}" for n in range(9)], HOSTILE)  # the others have none, and are shown by their ids
    return Show(show.board, show.judge, titles, HOSTILE, 90.0, show.notes)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_live_view_shows_hostile_titles_as_text_and_keeps_its_shape(width: int, height: int) -> None:
    out = io.StringIO()
    Terminal(file=out, width=width, height=height, force_terminal=True).print(View(hostile_show(), 42.0, 10.0))
    picture = STYLES.sub("", out.getvalue())
    check(picture)
    lines = picture.splitlines()
    assert len(lines) <= height
    assert {len(each) for each in lines} == {width}
    assert "\\x1b]0;" in picture
    check(line(hostile_show(), 42.0, 10.0))


def test_printed_record_has_the_same_value_on_any_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    published = made("u\u202e1", HOSTILE)
    say_json(line_of(RECOMMENDATIONS, SimpleNamespace(partition=0, offset=1, value=encode(published))))
    text = capfd.readouterr().out
    check(text)
    assert msgspec.convert(json.loads(text)["value"], type(published)) == published


def test_reports_bars_and_steps_show_text(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for terminal in (False, True):
        out = io.StringIO()
        console = Terminal(file=out, force_terminal=terminal, width=200, stderr=False)
        report = Report(rows=[HOSTILE], warnings=[HOSTILE])
        report.guess(HOSTILE, HOSTILE, HOSTILE)
        printed(console)(Path(HOSTILE), report)
        table = Table(HOSTILE, title=HOSTILE)
        table.add_row(HOSTILE)
        console.print(HOSTILE, table, Text("plain"))
        with Steps(console) as steps, steps.step("model") as step:
            step.say(HOSTILE, 1, 2)
        with Bars("{task.description}", console=console) as bars:
            bars.add_task("items", total=3)
        check(STYLES.sub("", out.getvalue()).replace("\r", ""))
        assert "[bold]x[/]" in out.getvalue()
    with told_by_bars() as progress:
        progress(HOSTILE, 1, 2)
    say(HOSTILE)
    check("".join(capfd.readouterr()))


def test_error_shows_its_cause_as_text(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise DeployError(f"the topic {HOSTILE} is missing")

    monkeypatch.setattr(cli, "cli", fails)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    text = "".join(capfd.readouterr())
    check(text)
    assert "[bold]x[/]" in text


def test_no_text_makes_a_line_of_the_log() -> None:
    def record(message: str, error: Exception | None = None) -> logging.LogRecord:
        info = (type(error), error, None) if error else None
        return logging.LogRecord("streams.agents.events", logging.ERROR, "f", 1, "topic %s", (message,), info)

    lines = LogLines("%(levelname)s %(name)s: %(message)s")
    text = lines.format(
        record(f"{HOSTILE}\nERROR streams.agents.events: forged", OSError(f"x\nERROR forged {HOSTILE}"))
    )
    check(text)
    assert [each for each in text.split("\n") if not each.startswith("    ")] == [text.split("\n")[0]]


def test_commands_print_through_the_terminal_alone() -> None:
    """`click.echo` and rich's own console write what they are given."""
    direct = {"click.echo", "click.secho", "Console", "sys.stdout.write"}
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted((ROOT / "deploy").rglob("*.py"))
        if path != ROOT / "deploy/local/terminal.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in direct
    ]
    assert not found
