"""What cannot work is refused as an option, in one sentence and before any work begins."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.cli import cli
from deploy.commands.parameters import OutFile, OutFolder, Real, since_ms

OUTPUTS = [
    (("evaluate", "--json"), False),
    (("evaluate", "--html"), False),
    (("replay", "--json"), False),
    (("demo", "--json"), False),
    (("train", "--out"), True),
    (("triton", "build", "--repository"), True),
    (("triton", "serve", "--log"), False),
]


def refused(*arguments: str) -> str:
    """What a command that is refused says, in one line."""
    done = CliRunner().invoke(cli, [*arguments])
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.partition("Error:")[2].split())


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("command", "folder"), OUTPUTS, ids=str)
def test_where_results_go_is_checked_first(command: tuple[str, ...], folder: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    told = refused(*command, str(tmp_path / "file" / "x"))
    assert command[-1] in told
    assert str(tmp_path / "file") in told
    if not folder:
        told = refused(*command, str(tmp_path))
        assert command[-1] in told
        assert f"{tmp_path} is a folder; name a file in it" in told


@pytest.mark.parametrize("command", ["evaluate", "replay", "demo"])
def test_missing_folder_is_named(command: str, tmp_path: Path) -> None:
    told = refused(command, "--json", "missing/folder/x.json")
    assert "the folder missing/folder does not exist; create it or name a file elsewhere" in told
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("kind", [OutFile(), OutFolder(), OutFile(make_folder=True)])
def test_unwritable_path_is_refused(kind: click.ParamType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(click.BadParameter, match="is not writable; change its permissions"):
        kind.convert(str(tmp_path / "x"), None, None)
    (tmp_path / "y").write_text("")
    with pytest.raises(click.BadParameter, match=r"is not writable|is a file"):
        kind.convert(str(tmp_path / "y"), None, None)


def test_writable_path_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    for name in ("new.json", "old"):
        assert OutFile().convert(str(tmp_path / name), None, None) == tmp_path / name
    assert OutFile(make_folder=True).convert("a/b/triton.log", None, None) == Path("a/b/triton.log")
    assert OutFolder().convert("a/b", None, None) == Path("a/b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "create", "--events-partitions", "0"),
        ("topics", "create", "--items-partitions", "-1"),
        ("topics", "create", "--replication", "0"),
        ("triton", "serve", "--grpc-port", "70000"),
        ("triton", "serve", "--http-port", "0"),
        ("triton", "serve", "--metrics-port", "-1"),
        ("demo", "--seed", "-1"),
        ("demo", "--speed", "inf"),
        ("demo", "--history", "nan"),
        ("replay", "--speed", "nan"),
        ("replay", "--factor", "0"),
        ("replay", "--history", "nan"),
        ("replay", "--seconds", "inf"),
        ("forget", "ann", "--timeout", "nan"),
        ("train", "--until", "nan"),
        ("train", "--dropout", "nan"),
        ("train", "--again", "2"),
        ("evaluate", "--seeds", "0"),
        ("evaluate", "--limit", "0"),
        ("evaluate", "--processes", "0"),
    ],
    ids=" ".join,
)
def test_number_out_of_range_is_refused_as_an_option(arguments: tuple[str, ...]) -> None:
    assert f"Invalid value for '{arguments[-2]}'" in refused(*arguments)


def test_real_is_a_number_in_its_range() -> None:
    assert Real(0, 1).convert("0.5", None, None) == 0.5


NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("24h", NOW_MS - 86_400_000),
        ("7d", NOW_MS - 7 * 86_400_000),
        ("90s", NOW_MS - 90_000),
        ("1m", NOW_MS - 60_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-01T01:00", 3_600_000),
        ("1970-01-01T01:00:00.25+01:00", 250),
        ("1970-01-01T00:00:01Z", 1_000),
        ("24", None),
        ("-24h", None),
        ("yesterday", None),
        ("9999999d", None),
        ("", None),
    ],
)
def test_time_is_read_as_a_date_or_as_long_ago(text: str, ms: int | None) -> None:
    assert since_ms(text, NOW_MS) == ms


def test_export_names_what_it_cannot_use(tmp_path: Path) -> None:
    assert "'soon' is no time: give a date" in refused("export", "lists", "x.jsonl", "--since", "soon")
    assert "standard output takes JSON lines" in refused("export", "lists", "-", "--format", "parquet")
    assert '"-" for standard output' in refused("export", "lists", "/dev/null")
    (tmp_path / "there.jsonl").symlink_to("missing/there.jsonl")
    assert "missing, which does not exist; create it" in refused("export", "lists", "there.jsonl")
