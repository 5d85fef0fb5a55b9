"""The commands that read files: their reports and exit codes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import cli
from deploy.errors import BadSource

T = 1_600_000_000
GOOD = "user_id,item_id,rating,timestamp\n" + "".join(f"u{n % 10},i{n % 7},{n % 5 + 1},{T + n}\n" for n in range(100))
ITEMS = "item_id,title,genres\n" + "".join(f"i{n},T{n},Drama|Comedy\n" for n in range(7))


def run(*arguments: str) -> Result:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli, list(arguments))
    if isinstance(result.exception, ModuleNotFoundError):
        raise result.exception  # a test that needs PyTorch is skipped without it
    return result


@pytest.fixture
def events(tmp_path: Path) -> str:
    (tmp_path / "events.csv").write_text(GOOD)
    return str(tmp_path / "events.csv")


@pytest.fixture
def items(tmp_path: Path) -> str:
    (tmp_path / "items.csv").write_text(ITEMS)
    return str(tmp_path / "items.csv")


def test_inspecting_events_prints_the_guesses_and_ten_rows(events: str) -> None:
    done = run("inspect-file", events)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line for line in lines if "user_id" in line and "--user-column" in line]
    assert sum(line.startswith('{"v":1,') for line in lines) == 10
    assert '"user":"u0","kind":"rate","ts":1600000000000,"item":"i0","value":1.0}' in done.output


def test_inspecting_items_prints_the_guesses_and_the_rows(items: str) -> None:
    done = run("inspect-file", items)
    assert done.exit_code == 0, done.output
    assert '{"v":1,"id":"i0","title":"T0","attributes":["Drama","Comedy"]}' in done.output
    assert "--items-id-column" in done.output
    other = run("inspect-file", items, "--as", "events")
    assert isinstance(other.exception, BadSource)


def test_limit_applies_to_inspecting(events: str) -> None:
    assert "3 used" in run("inspect-file", events, "--limit", "3").output


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_file_without_likes_ends_the_command_with_the_reason(tmp_path: Path, command: str) -> None:
    path = tmp_path / "e.csv"
    path.write_text(GOOD.replace(",5,", ",1,").replace(",4,", ",0,"))
    done = run(command, "--events", str(path))
    assert isinstance(done.exception, BadSource)
    assert "nothing counts as a like" in str(done.exception)
    assert "--rating-max" in done.output, "the report comes before the error"
    inspected = run("inspect-file", str(path))
    assert (inspected.exit_code, "warning: nothing counts as a like" in inspected.output) == (0, True)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--rating-max", "0", "--rating-max"),
        ("--map-kind", "buy=nonsense", "--map-kind takes WORD=KIND"),
        ("--time-zone", "Mars/Base", "--time-zone Mars/Base is unknown"),
        ("--scene", "", "--scene takes 1 to 32 characters"),
    ],
)
def test_impossible_options_are_refused_before_reading(events: str, option: str, value: str, says: str) -> None:
    done = run("evaluate", "--events", events, option, value)
    assert done.exit_code == 2
    assert says in done.output


def test_evaluation_reports_both_files_before_its_figures(events: str, items: str) -> None:
    wanted = ["--without-model", "--seeds", "1", "--processes", "1", "--protocols", "prequential"]
    done = run("evaluate", "--events", events, "--items", items, *wanted)
    assert done.exit_code == 0, done.output
    assert done.output.index("events.csv") < done.output.index("items.csv") < done.output.index("HR@10")
