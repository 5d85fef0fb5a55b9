"""Find the tritonserver of the nvidia-pytriton package, and check that it can run models on this Python."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from inference.errors import TritonNotAvailable

INSTEAD = "or score in-process"


@dataclass(frozen=True)
class Installation:
    """The parts of tritonserver: the program, its Python backend, and the Python that its models run on."""

    program: Path
    backend: Path
    caches: Path
    stub: Path
    """The program that a model runs in; there is one for each version of Python."""
    python: Path
    """The folder of this environment's `python3`, whose packages the stub uses."""
    libraries: tuple[Path, ...]
    """Folders of libpython and of the shared libraries in the wheel."""


def find_installation() -> Installation:
    """Find tritonserver. Raises `TritonNotAvailable`, which names the missing part and the next step."""
    spec = find_spec("pytriton")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise TritonNotAvailable(
            "there is no tritonserver: nvidia-pytriton is not installed (it exists for Linux on x86-64 only); "
            f"run `pip install --no-deps nvidia-pytriton==0.7.0`, {INSTEAD}"
        )
    root = Path(folders[0]) / "tritonserver"
    found = Installation(
        program=root / "bin" / "tritonserver",
        backend=root / "backends" / "python",
        caches=root / "caches",
        stub=_find_stub(root / "python_backend_stubs"),
        python=_find_python(),
        libraries=(_find_library(), root.parents[1] / "nvidia_pytriton.libs"),
    )
    for path in (found.program, found.backend):
        if not path.exists():
            raise TritonNotAvailable(f"{path} is missing: reinstall nvidia-pytriton, {INSTEAD}")
    return found


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _find_stub(stubs: Path) -> Path:
    stub = stubs / _version() / "triton_python_backend_stub"
    if stub.exists():
        return stub
    there = sorted(tuple(map(int, path.parent.name.split("."))) for path in stubs.glob(f"*/{stub.name}"))
    if not there:
        raise TritonNotAvailable(f"{stub} is missing: reinstall nvidia-pytriton, {INSTEAD}")
    first, last = (".".join(map(str, version)) for version in (there[0], there[-1]))
    raise TritonNotAvailable(
        f"this tritonserver runs models on Python {first} to {last}, but this is Python {_version()}; "
        f"to use it, create the environment with PYTHON=python{last}, {INSTEAD}"
    )


def _find_python() -> Path:
    """The folder whose `python3` is this interpreter; the stub runs the first one on PATH."""
    python = Path(sys.executable)
    if not (python.parent / "python3").exists() or not (python.parent / "python3").samefile(python):
        raise TritonNotAvailable(
            f"tritonserver would run its models on {python.parent / 'python3'}, which is not this Python ({python}); "
            f"use a virtual environment, {INSTEAD}"
        )
    return python.parent


def _find_library() -> Path:
    """The folder of the shared library of this Python, which the stub is linked with."""
    name = f"libpython{_version()}.so.1.0"
    for folder in _libraries():
        if (folder / name).exists():
            return folder
    raise TritonNotAvailable(
        f"{name} is missing, which tritonserver needs to run models: install it (Debian and Ubuntu: apt-get install "
        f"libpython{_version()}), use a Python that has it (built with --enable-shared), {INSTEAD}"
    )


def _libraries() -> Iterator[Path]:
    if folder := sysconfig.get_config_var("LIBDIR"):
        yield Path(folder)
    yield Path(sys.base_prefix) / "lib"  # a Python that was moved after it was built
    yield from map(Path, ("/usr/lib", "/usr/lib64", f"/usr/lib/{os.uname().machine}-linux-gnu"))
