"""Where models can run on this Python, and what is said where they cannot."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from inference.errors import TritonNotAvailable
from inference.triton import installation
from inference.triton.installation import find_installation

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tritonserver with stubs for this Python, 3.8 and 3.13, and a Python with its library: empty files."""
    root = tmp_path / "pytriton" / "tritonserver"
    for name in ("bin/tritonserver", "backends/python/x", *(stub(version) for version in ("3.8", "3.13", HERE))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in (f"lib/libpython{HERE}.so.1.0", "bin/python3", "bin/python3.99"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    spec = SimpleNamespace(submodule_search_locations=[str(root.parent)])
    monkeypatch.setattr(installation, "find_spec", lambda name: spec)
    monkeypatch.setattr(installation, "_libraries", lambda: iter([tmp_path / "lib64", tmp_path / "lib"]))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    return tmp_path


def stub(version: str) -> str:
    return f"python_backend_stubs/{version}/triton_python_backend_stub"


def test_all_is_found(package: Path) -> None:
    found = find_installation()
    assert found.stub.parent.name == HERE
    assert found.python == package / "bin"
    assert found.libraries[0] == package / "lib"


def test_platform_without_tritonserver_has_a_separate_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    with pytest.raises(TritonNotAvailable, match=r"pip install --no-deps nvidia-pytriton.* score in-process"):
        find_installation()


def test_python_without_a_stub_names_one_that_has_it(package: Path) -> None:
    (package / "pytriton" / "tritonserver" / stub(HERE)).unlink()
    if HERE != "3.13":
        with pytest.raises(TritonNotAvailable, match=rf"to 3\.13, but this is Python {HERE}.* PYTHON=python3\.13,"):
            find_installation()


def test_python_without_its_library_names_the_package(package: Path) -> None:
    (package / "lib" / f"libpython{HERE}.so.1.0").unlink()
    with pytest.raises(TritonNotAvailable, match=rf"apt-get install libpython{HERE}\).* score in-process"):
        find_installation()


def test_another_python_beside_it_is_not_taken(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub takes the `python3` of the folder, whatever the name is that this one was started by."""
    monkeypatch.setattr(sys, "executable", str(package / "bin" / "python3.99"))
    with pytest.raises(TritonNotAvailable, match="use a virtual environment"):
        find_installation()
    (package / "bin" / "python3").unlink()
    (package / "bin" / "python3").symlink_to("python3.99")
    assert find_installation().python == package / "bin"


@pytest.mark.parametrize("part", ["bin/tritonserver", "python_backend_stubs"])
def test_part_that_is_missing_is_named(package: Path, part: str) -> None:
    path = package / "pytriton" / "tritonserver" / part
    path.rename(path.with_name("gone"))
    with pytest.raises(TritonNotAvailable, match=rf"{path}.* is missing: reinstall nvidia-pytriton"):
        find_installation()
