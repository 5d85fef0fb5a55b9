"""Pin every package with the hashes of its files: `make lock`. Asks the package index, and takes seconds.

What is in `locked/` stays as it is unless pyproject.toml asks for something else; `make lock ARGS=--upgrade` takes the
newest versions. Each file is installed with --no-deps, on top of others:

build.txt    what builds Ouzel itself, and the one package that comes as source on some machines
worker.txt   the worker, and the reading of files
tests.txt    what tests need that need no PyTorch
model.txt    what the model needs, but for PyTorch
torch.txt    PyTorch as the index has it; cpu.txt is its build without CUDA, where there is one
cuda.txt     what the build with CUDA needs besides
tools.txt    the other tools
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "locked"
OLDEST = "3.11"
SOURCE_ONLY = "sys_platform == 'linux' and platform_machine == 'aarch64'"  # faust-streaming has no wheel for it
BUILD = ("setuptools", f"setuptools-scm ; {SOURCE_ONLY}", f"cython ; {SOURCE_ONLY}")
LAYERS = {
    "worker": ("worker,files", ("build",)),
    "tests": ("worker,test", ("build", "worker")),
    "model": ("demo", ("build", "worker")),
    "tools": ("dev", ("build", "worker", "tests", "model")),
}
"""By the name of the file, the extras of pyproject.toml that it completes, and what it is installed on top of."""

CUDA = re.compile(r"cuda-|nvidia-|triton$")
CPU = {
    "2.13.0": (
        "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",  # Python 3.11, aarch64
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # x86_64
        "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",  # Python 3.12, aarch64
        "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",  # x86_64
        "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",  # Python 3.13, aarch64
        "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",  # x86_64
        "ca021f9eb2f8345c83fa03e3a04587308afb8df71bd472670b3ece00df58621c",  # Python 3.14, aarch64
        "d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691",  # x86_64
    )
}
"""Of the builds for Linux without CUDA, by PyTorch's version: not on the index that is asked, but on PyTorch's own."""

Pins = dict[str, list[str]]
"""By package, the lines of each of its requirements: several where its version depends on the machine."""


def compiled(*extras: str, known: list[str]) -> Pins:
    """What the index has for these extras, and for BUILD if there are none, as uv resolves it for all platforms."""
    with tempfile.TemporaryDirectory() as folder:
        build, constraints = Path(folder, "build.in"), Path(folder, "known.txt")
        build.write_text("\n".join(BUILD))
        constraints.write_text("\n".join(known))
        wanted = ["pyproject.toml", *(option for extra in extras for option in ("--extra", extra))]
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--no-annotate", "--no-header", "--python-version", OLDEST, "--constraint", str(constraints)),
            *(wanted if extras else []),
            *([str(build)] if not extras or extras == ("dev",) else []),
        ]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        sys.exit(f"uv found no versions that fit:\n{done.stderr}")
    found: Pins = {}
    for entry in re.split(r"\n(?=\S)", done.stdout.strip()):
        name = re.sub(r"[-_.]+", "-", re.split(r"[=\[ ]", entry, maxsplit=1)[0]).lower()
        found.setdefault(name, []).append(entry)
    return found


def versions(text: str) -> list[str]:
    """The requirements of a locked file, without their hashes."""
    return [line.rstrip(" \\") for line in text.splitlines() if re.match(r"[\w.-]+==[^+]*$", line)]


def write(name: str, says: str, pins: Pins) -> None:
    text = "".join(f"{entry}\n" for package in sorted(pins) for entry in pins[package])
    (FOLDER / f"{name}.txt").write_text(f"# {says} Made by `make lock`.\n{text}")


def main(*, upgrade: bool) -> None:
    FOLDER.mkdir(exist_ok=True)
    held = [] if upgrade else [pin for file in FOLDER.glob("*.txt") for pin in versions(file.read_text())]
    pins = versions("\n".join(entry for entries in compiled("dev", known=held).values() for entry in entries))
    layers = {"build": compiled(known=pins)}
    apart: dict[str, list[str]] = {"torch": [], "cuda": []}
    for layer, (extras, bases) in LAYERS.items():
        layers[layer] = {}
        for name, entries in compiled(*extras.split(","), known=pins).items():
            if name == "torch" or CUDA.match(name):
                one = apart["torch" if name == "torch" else "cuda"]
                one += [entry for entry in entries if entry not in one]
            elif all(layers[base].get(name) != entries for base in bases):
                layers[layer][name] = entries
        write(layer, f"What the extras {extras} need beyond {', '.join(bases)}.", layers[layer])
    write("build", "What builds Ouzel and what comes as source.", layers["build"])
    version = apart["torch"][0].split("==")[1].split()[0]
    if version not in CPU:
        sys.exit(f"The hashes of PyTorch {version} without CUDA are not known: add them to CPU in .ci/lock.py.")
    hashes = " \\\n".join(f"    --hash=sha256:{each}" for each in CPU[version])
    write("torch", "PyTorch.", {"torch": apart["torch"]})
    write("cpu", "PyTorch without CUDA.", {"torch": [f"torch=={version}+cpu ; sys_platform == 'linux' \\\n{hashes}"]})
    write("cuda", "What PyTorch with CUDA needs besides.", {"cuda": apart["cuda"]})


if __name__ == "__main__":
    main(upgrade="--upgrade" in sys.argv[1:])
