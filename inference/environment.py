"""The Python environment of Triton's Python models: numpy 1.26.4 of its own over everything the parent has.

The Python backend of tritonserver 2.51 corrupts tensors silently under numpy 2 (python_backend PR #384). So the models
run in a venv that holds that one package; a .pth file appends the parent's site-packages after its own, so that torch
and the rest are not installed twice. What comes first on the path wins, and that is the venv's own numpy.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from inference.errors import StubEnvironmentError
from inference.weights import Progress, silent

NUMPY = "1.26.4"
_STEPS = 3
_PTH = "ouzel-parent.pth"


def python_of(environment: Path) -> Path:
    """The interpreter of a venv."""
    return environment / "bin" / "python3"


def create(target: Path, progress: Progress = silent) -> Path:
    """Have `target` be such an environment over the running interpreter's. Nothing is done where it is already.

    Needs a package index, or pip's own settings (a wheel folder, a mirror). Raises `StubEnvironmentError`.
    """
    if _is_current(target):
        progress("environment of the model", _STEPS, _STEPS)
        return target
    progress("environment of the model: making it", 0, _STEPS)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A venv cannot be renamed (its scripts hold its path), so the .pth file, written last, marks it as whole.
    shutil.rmtree(target, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(target)
        progress("environment of the model: installing numpy", 1, _STEPS)
        _run([str(python_of(target)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
              "--only-binary", ":all:", f"numpy=={NUMPY}"])  # fmt: skip
        _write_pth(target)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise StubEnvironmentError(
            f"cannot make the environment {target}: {detail.strip()[-500:]}; Python needs its venv module, "
            f"and pip has to reach an index that has numpy {NUMPY}"
        ) from error
    progress("environment of the model: checking", 2, _STEPS)
    found = numpy_of(target)
    if found != NUMPY:
        raise StubEnvironmentError(f"{target} imports numpy {found}, not {NUMPY}; remove the folder and build again")
    progress("environment of the model", _STEPS, _STEPS)
    return target


def numpy_of(environment: Path) -> str:
    """The version of numpy that the environment imports, seen as Triton's stub sees it: without PYTHONPATH."""
    try:
        return _run([str(python_of(environment)), "-c", "import numpy; print(numpy.__version__)"]).strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise StubEnvironmentError(f"{environment} cannot import numpy: {error}; build it again") from error


def _parents() -> str:
    """The .pth text: the parent's site-packages, then the folder that holds these packages."""
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(Path(__file__).resolve().parents[1])]
    return "".join(f"{path}\n" for path in dict.fromkeys(paths))


def _site(environment: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment / "lib" / version / "site-packages"


def _is_current(environment: Path) -> bool:
    try:
        whole = (_site(environment) / _PTH).read_text() == _parents()
    except OSError:
        return False
    return whole and (_site(environment) / f"numpy-{NUMPY}.dist-info").is_dir() and python_of(environment).exists()


def _write_pth(environment: Path) -> None:
    with tempfile.NamedTemporaryFile("w", dir=_site(environment), delete=False, suffix=".aside") as file:
        file.write(_parents())
    Path(file.name).rename(_site(environment) / _PTH)


def _run(command: list[str]) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean)  # noqa: S603
    return done.stdout
