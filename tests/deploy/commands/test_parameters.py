"""What cannot work is refused as an option, in one sentence and before any work begins."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.cli import cli
from deploy.commands.parameters import OutFile, OutFolder, Real

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
