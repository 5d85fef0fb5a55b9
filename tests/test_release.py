"""The wheel that `make build` makes: installed elsewhere, it needs nothing of the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.integration.conftest import MODELS, model

__all__ = ["model"]

ROOT = Path(__file__).parents[1]
SECONDS = 420.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target)]
    subprocess.run([*command, str(source)], check=True, timeout=SECONDS)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `ouzel` of an environment with the wheel and this environment's dependencies, but not its checkout.

    A path in a .pth file adds a folder without reading the .pth files in it, such as that of an editable install.
    """
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=SECONDS)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "ouzel"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


@pytest.mark.slow
def test_wheel_contains_every_package_and_its_data(installed: Path, tmp_path: Path) -> None:
    script = (
        "import json, deploy, inference, schemas, streams; from importlib.metadata import version;"
        "print(json.dumps([version('ouzel'), *(m.__file__ for m in (deploy, inference, schemas, streams))]))"
    )
    command = [str(installed.with_name("python")), "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, check=True, timeout=SECONDS)
    version, *places = json.loads(done.stdout)
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    packages = [Path(place).parent for place in places]
    assert all(installed.parents[1] in each.parents for each in packages), packages
    for package in packages:
        tracked = subprocess.run(
            ["git", "ls-files", package.name], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split()
        for name in tracked:
            if name.endswith((".py", ".json", ".safetensors", ".txt", ".typed", ".md", ".svg")):
                assert (package.parent / name).is_file(), f"{name} is missing from the wheel"


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.triton
@pytest.mark.alone
def test_demo_runs_from_the_wheel_in_another_folder(installed: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(MODELS, tmp_path / ".ouzel" / "models")  # building the model is not what is tested here
    command = [str(installed), "demo", "--seconds", "30", "--json", "summary.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, check=False, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["lists"] > 0
    assert summary["dead_letters"] == 0
