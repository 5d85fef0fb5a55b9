"""The check of the Python interpreter that make runs before pip."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy import interpreter
from deploy.interpreter import NEWEST, OLDEST, dotted

ROOT = Path(__file__).parents[2]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *words]
    # Drop the variables of a make that runs these tests.
    clean = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKEOVERRIDES", "PYTHON"}}
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize("version", [(3, 8, 1), (3, 10, 13), (3, 15, 0)])
def test_unsupported_python_is_refused_with_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    found = interpreter.main("")
    assert re.fullmatch(
        rf"Ouzel needs Python 3\.11 to 3\.14, but {sys.executable} is {dotted(version[:2])}; "
        r"use another one, for example: make demo PYTHON=python3\.1[1-4]",
        found,
    )


def test_free_threaded_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no wheels for free-threaded Python, and pip would compile everything."""
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: int(name == "Py_GIL_DISABLED"))
    assert "not standard CPython" in interpreter.main("")


def test_current_python_is_accepted() -> None:
    assert interpreter.main("") == ""


def test_python_without_venv_error_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert f"apt-get install python{dotted(sys.version_info[:2])}-venv libpython" in interpreter.main(str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").touch()
    assert interpreter.main(str(tmp_path)) == ""


def environment(folder: Path, python: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\n{python} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    return folder


def test_environment_of_this_python_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = environment(tmp_path / "own", f"exec '{sys.executable}'")
    interpreter.main(str(own))
    assert (own / "pyvenv.cfg").exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("python", ["echo 3.12 in /elsewhere #", "exit 1 #"])
def test_environment_of_another_python_is_recreated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], python: str
) -> None:
    other = environment(tmp_path / "other", python)
    interpreter.main(str(other))
    assert not other.exists()
    assert f"Recreating {other}: it has" in capsys.readouterr().err


def test_folder_without_an_environment_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    interpreter.main(str(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_make_reports_a_missing_python() -> None:
    done = make("install", "PYTHON=python3.99")
    assert done.returncode != 0
    assert f"There is no python3.99 here; Ouzel needs Python {dotted(OLDEST)} to {dotted(NEWEST)}" in done.stderr
    assert "Traceback" not in done.stderr


def test_make_refuses_before_it_installs(tmp_path: Path) -> None:
    """An existing environment selects the Python, unless one is named."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho 'Ouzel needs another one' >&2; exit 1\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    done = make("install", f"VENV={tmp_path}")
    assert done.returncode != 0
    assert done.stderr.startswith("Ouzel needs another one\n")
    assert "Installing" not in done.stdout


def test_supported_versions_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={dotted(OLDEST)},<{NEWEST[0]}.{NEWEST[1] + 1}"
    named = f"Python {dotted(OLDEST)} to {dotted(NEWEST)}"
    for page in ("README.md", "docs/quickstart.md", "docs/guide/demo.md", "Makefile"):
        assert named in (ROOT / page).read_text(), page
