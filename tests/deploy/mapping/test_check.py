"""`ouzel mapping check` on files: what it prints, and how it ends."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import cli
from deploy.errors import DeployError
from deploy.mapping.samples import of_file
from schemas.limits import MAX_ORIGINAL_BYTES

MAPPING = """
[[events]]
topic = "clicks"
user = "user"
item = "item"
kind = { path = "type", map = { seen = "view", ping = "skip" } }
[[items]]
topic = "films"
id = "@key"
title = "name"
"""
CLICKS = "\n".join(
    [
        '{"user":"ann","item":1,"type":"seen"}',
        '{"type":"ping"}',
        "",
        '{"user":"ann","type":"seen"}',
        '{"user":"ann","item":2,"type":"sold\\u001b[2J"}',
        "no json",
    ]
)


def check(folder: Path, *options: str, text: str = MAPPING) -> Result:
    (folder / "mapping.toml").write_text(text)
    return CliRunner().invoke(cli, ["mapping", "check", str(folder / "mapping.toml"), *options], standalone_mode=False)


@pytest.fixture
def clicks(tmp_path: Path) -> str:
    (tmp_path / "clicks.jsonl").write_text(CLICKS)
    return str(tmp_path / "clicks.jsonl")


def test_records_are_shown_before_and_after_and_counted(tmp_path: Path, clicks: str) -> None:
    done = check(tmp_path, "--file", clicks, "--topic", "clicks")
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 1, "records are rejected"
    lines = done.stdout.splitlines()
    assert lines[0] == 'clicks 0/0: {"user":"ann","item":1,"type":"seen"}'
    assert lines[1].startswith('  -> ouzel.events: {"v":1,"id":"clicks-0-0-')
    assert "  -> skipped: kind" in lines
    assert "  -> rejected: invalid: `item`: a view event needs an item - at `item`" in lines
    assert "5 records: 1 mapped, 0 withdrawn, 1 skipped, 3 rejected" in lines
    assert any(line.startswith("  rejected 1: malformed: not JSON") for line in lines)
    assert "\x1b" not in done.stdout


def test_keys_of_lines_are_read_and_null_values_withdraw(tmp_path: Path) -> None:
    (tmp_path / "films").write_text('7|{"name":"Fargo"}\n8|\n')
    done = check(tmp_path, "--file", str(tmp_path / "films"), "--topic", "films", "--key-delimiter", "|")
    assert done.exception is None
    assert '-> ouzel.items: {"v":1,"id":"7","title":"Fargo"}' in done.stdout
    assert "films 0/1: null\n  -> ouzel.items: 8 is withdrawn" in done.stdout
    assert "2 records: 1 mapped, 1 withdrawn, 0 skipped, 0 rejected" in done.stdout


def test_ten_records_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "many").write_text('{"user":"ann","item":1,"type":"seen"}\n' * 30)
    done = check(tmp_path, "--file", str(tmp_path / "many"), "--topic", "clicks")
    assert done.stdout.count("-> ouzel.events") == 10
    assert "30 records: 30 mapped" in done.stdout


def test_file_alone_is_checked_without_a_broker(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.exception is None
    assert "maps clicks, films to ouzel.events, ouzel.items" in done.stdout


@pytest.mark.parametrize(
    ("options", "text", "says"),
    [
        ((), "[[events]]\nuzer = 1", "mapping.toml: unknown key `events[0].uzer`; did you mean `user`?"),
        (("--file", "x"), MAPPING, "say with --topic which topic the lines of x are of: clicks, films."),
        (("--topic", "other"), MAPPING, "maps no topic other. It maps clicks, films."),
        ((), MAPPING + 'format = "avro"', 'format = "avro" needs a schema registry: set OUZEL_MAPPING_REGISTRY.'),
        (("--topic", "clicks", "--brokers", "127.0.0.1:1", "--timeout", "1"), MAPPING, "no broker answers"),
    ],
)
def test_error_says_what_to_do(tmp_path: Path, options: tuple[str, ...], text: str, says: str) -> None:
    done = check(tmp_path, *options, text=text)
    assert isinstance(done.exception, DeployError)
    assert says in str(done.exception)


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    done = CliRunner().invoke(cli, ["mapping", "check", str(tmp_path / "binary.toml")], standalone_mode=False)
    assert "is not UTF-8 text" in str(done.exception)


def test_line_that_no_record_could_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (2 * MAX_ORIGINAL_BYTES + 10))
    with pytest.raises(DeployError, match="line 1 is longer than a record can be"):
        list(of_file(tmp_path / "long", "t", "", 0))
    (tmp_path / "keyless").write_text("a|1\nb\n")
    with pytest.raises(DeployError, match="line 2 has no '|' after its key".replace("|", r"\|")):
        list(of_file(tmp_path / "keyless", "t", "|", 0))
