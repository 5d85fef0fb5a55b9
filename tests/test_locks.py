"""What is installed: at one version each, with hashes, and as `pyproject.toml` asks."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"demo": ["demo"], "dev": ["dev"], "worker-test": ["worker", "test"]}
UNLOCKED = {"torch", "ouzel"}
"""PyTorch's builds differ from index to index, and so do their hashes."""


def locked(name: str) -> dict[str, tuple[Requirement, int]]:
    """The requirements of a lock file, and how many hashes each has."""
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    entries = re.sub(r"\\\n", " ", text).splitlines()
    found = {}
    for entry in (each for each in entries if each.strip() and not each.lstrip().startswith("#")):
        requirement = Requirement(entry.partition(" --hash")[0].strip())
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)
        found[canonicalize_name(requirement.name)] = requirement, len(hashes)
    return found


def asked(extras: list[str]) -> list[Requirement]:
    """What the project asks for, with extras, those of its own extras resolved."""
    wanted, todo = list(PROJECT["dependencies"]), list(extras)
    while todo:
        for each in map(Requirement, PROJECT["optional-dependencies"][todo.pop()]):
            if each.name == PROJECT["name"]:
                todo += each.extras
            else:
                wanted.append(str(each))
    return [Requirement(each) for each in wanted]


@pytest.mark.parametrize("name", [*EXTRAS, "carried"])
def test_everything_is_pinned_and_hashed(name):
    found = locked(name)
    assert found
    for requirement, hashes in found.values():
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
    assert not UNLOCKED & found.keys()


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_what_the_project_asks_for(name):
    found = locked(name)
    for wanted in asked(EXTRAS[name]):
        if canonicalize_name(wanted.name) in UNLOCKED:
            continue
        requirement, _ = found[canonicalize_name(wanted.name)]
        (pin,) = requirement.specifier
        assert wanted.specifier.contains(pin.version), f"{wanted}: run `make lock`"


def test_carried_packages_are_locked_as_they_are_named():
    lines = (ROOT / "deploy" / "carried.txt").read_text().splitlines()
    named = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found = locked("carried")
    assert {each.name: str(each.specifier) for each in named} == {k: str(v[0].specifier) for k, v in found.items()}


def test_torch_is_pinned_by_version():
    (torch,) = (each for each in asked(["inference"]) if each.name == "torch")
    assert [each.operator for each in torch.specifier] == ["=="]


def wheel(folder: Path, content: str) -> Path:
    path = folder / "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probe.py", content)
        archive.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        archive.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("probe-1.0.dist-info/RECORD", "")
    return path


def test_a_file_with_another_hash_is_not_installed(tmp_path):
    """With the options that `make install` gives pip."""
    makefile = (ROOT / "Makefile").read_text()
    (options,) = re.findall(r"^LOCKED = (.*)$", makefile, re.MULTILINE)
    assert makefile.count("-r locks/") == makefile.count("$(LOCKED) -r locks/")
    written = subprocess.run(
        [sys.executable, "-m", "pip", "hash", str(wheel(tmp_path, "x = 1"))], capture_output=True, text=True, check=True
    ).stdout
    lock = tmp_path / "lock.txt"
    lock.write_text(f"probe==1.0 {re.findall(r'--hash=sha256:[0-9a-f]{64}', written)[0]}\n")
    command = [
        *(sys.executable, "-m", "pip", "install", "--isolated", "--disable-pip-version-check", "--no-index"),
        *("--find-links", str(tmp_path), "--target", str(tmp_path / "there"), *options.split(), "-r", str(lock)),
    ]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    wheel(tmp_path, "x = 2")
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "DO NOT MATCH THE HASHES" in bad.stderr
