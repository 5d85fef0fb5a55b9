"""Everything that make installs is pinned by the hashes of its files, and pyproject.toml asks for nothing else."""

import base64
import hashlib
import re
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "locked").glob("*.txt"))
ON_TOP_OF = {"worker": {"build"}, "tests": {"build", "worker"}, "model": {"build", "worker"},
             "tools": {"build", "worker", "tests", "model"}}  # fmt: skip


def entries(file: Path) -> list[tuple[Requirement, list[str]]]:
    found = []
    for entry in re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", file.read_text()).strip()):
        requirement, *hashes = re.split(r"\s*\\\n\s*", entry.strip())
        found.append((Requirement(requirement), hashes))
    return found


@pytest.mark.parametrize("file", [*FILES, ROOT / "deploy" / "carried.txt"], ids=lambda file: file.name)
def test_every_requirement_is_one_version_with_its_hashes(file: Path) -> None:
    for requirement, hashes in entries(file):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), requirement


def test_make_installs_every_locked_file_and_nothing_without_hashes() -> None:
    made = (ROOT / "Makefile").read_text() + (ROOT / "deploy" / "pytorch.sh").read_text()
    for file in FILES:
        assert f"-r locked/{file.name}" in made
    installs = re.findall(r"^(\w+) = \$\(BIN\)/pip install (.*)$", made, re.M)
    assert {name for name, _ in installs} == {"PIP", "OURS"}
    for name, options in installs:
        assert {"--no-deps", "--no-build-isolation"} <= set(options.split())
        assert ("--require-hashes" in options) == (name == "PIP")
        assert (options.split()[-2:] == ["-e", "."]) == (name == "OURS")


def needed(extra: str) -> dict[NormalizedName, Requirement]:
    """What an extra of pyproject.toml asks for, with the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found: dict[NormalizedName, Requirement] = {}
    waiting = [*project["dependencies"], *extras[extra]]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "ouzel":
            waiting += [each for name in requirement.extras for each in extras[name]]
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


@pytest.mark.parametrize(
    ("extra", "layers"),
    [
        ("worker", {"build", "worker"}),
        ("demo", {"build", "worker", "model", "torch"}),
        ("test", {"build", "worker", "tests"}),
        ("dev", {"build", "worker", "model", "torch", "tests", "tools"}),
    ],
)
def test_what_is_locked_is_what_pyproject_asks_for(extra: str, layers: set[str]) -> None:
    locked = {
        canonicalize_name(pin.name): pin.specifier for file in FILES if file.stem in layers for pin, _ in entries(file)
    }
    for name, requirement in needed(extra).items():
        assert name in locked, f"{name} is not locked: run make lock"
        (version,) = (each.version for each in locked[name])
        assert requirement.specifier.contains(version), f"{name}: run make lock"


def test_a_package_has_one_version_on_any_machine() -> None:
    versions: dict[str, set[str]] = {}
    for file in FILES:
        for pin, _ in entries(file):
            (version,) = (each.version.partition("+")[0] for each in pin.specifier)
            versions.setdefault(canonicalize_name(pin.name), set()).add(version)
    assert {name for name, each in versions.items() if len(each) > 1} == set()


def test_nothing_of_cuda_is_installed_without_being_asked_for() -> None:
    for file in FILES:
        names = {pin.name for pin, _ in entries(file)}
        assert (file.stem == "cuda") == any(name.startswith(("cuda", "nvidia")) for name in names), file.name
    for pin, _ in entries(ROOT / "locked" / "cuda.txt"):
        assert isinstance(pin.marker, Marker)
        assert not pin.marker.evaluate({"sys_platform": "darwin", "platform_machine": "arm64"})


def wheel(folder: Path, version: str, needs: str = "") -> str:
    """A package called torch, without anything in it; the hash of its file."""
    folder.mkdir(exist_ok=True)
    info = f"torch-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    path = folder / f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Install:
    """deploy/pytorch.sh on a folder of wheels in place of an index, into an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True, symlinks=True)
        (folder / "locked").mkdir()
        self.locked("cpu", "2.13.0+cpu", "0" * 64)
        self.locked("torch", "2.13.0", "0" * 64)
        self.locked("cuda", "0.0.0", "0" * 64, "nvidia-nothing")

    def locked(self, name: str, version: str, digest: str, package: str = "torch") -> None:
        (self.folder / "locked" / f"{name}.txt").write_text(f"{package}=={version} --hash=sha256:{digest}\n")

    def run(self) -> subprocess.CompletedProcess[str]:
        python = self.folder / "venv" / "bin" / "python"
        pip = f"{python} -m pip --isolated install --quiet --no-index --find-links wheels --no-deps --require-hashes"
        environment = {"PATH": "/usr/bin:/bin", "PIP": pip, "PYTHON": str(python)}
        command = ["sh", str(ROOT / "deploy" / "pytorch.sh")]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def installed(self) -> list[str]:
        return [each.name.partition(".dist")[0] for each in self.folder.glob("venv/lib/*/site-packages/torch-*")]


@pytest.mark.slow
def test_pytorch_is_installed_by_its_hash_or_not_at_all(tmp_path: Path) -> None:
    install = Install(tmp_path)
    (tmp_path / "wheels").mkdir()
    done = install.run()
    assert done.returncode != 0
    assert "torch==2.13.0" in done.stderr
    small = wheel(tmp_path / "wheels", "2.13.0+cpu")
    done = install.run()  # bytes that are not those that were locked: no other build takes their place
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert install.installed() == []
    install.locked("cpu", "2.13.0+cpu", small)
    assert install.run().returncode == 0
    assert install.installed() == ["torch-2.13.0+cpu"]
    assert install.run().returncode == 0, "a second time there is nothing to do"


@pytest.mark.slow
def test_where_there_is_no_build_without_cuda_what_the_other_needs_is_installed_by_hash_too(tmp_path: Path) -> None:
    install = Install(tmp_path)
    install.locked("torch", "2.13.0", wheel(tmp_path / "wheels", "2.13.0", "Requires-Dist: nvidia-nothing\n"))
    done = install.run()
    assert install.installed() == ["torch-2.13.0"]
    assert done.returncode != 0
    assert "nvidia-nothing==0.0.0" in done.stderr
