"""Check that this Python can run Ouzel, and that the environment in FOLDER belongs to it:
`PYTHON deploy/interpreter.py [FOLDER]`

make runs this before pip. It imports nothing from Ouzel, and parses on Python 3.6 and later. If this Python cannot be
used, it exits with a one-line reason. An environment in FOLDER that belongs to another Python is removed, so that make
recreates it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 14)
PREFERRED = ("python3.13", "python3.12", "python3.11", "python3.14")
"""Names to try. The last one cannot run models in tritonserver."""


def refusal() -> str:
    """The reason why Ouzel cannot run on this Python; empty if it can."""
    version = sys.version_info[:2]
    usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if usual and OLDEST <= version <= NEWEST:
        return ""
    sort = "" if usual else ", not standard CPython"
    return (
        f"Ouzel needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, but {sys.executable} is {dotted(version)}{sort}; "
        f"use another one, for example: make demo PYTHON={other()}"
    )


def incomplete() -> str:
    """The reason why this Python cannot create a virtual environment; empty if it can."""
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        own = dotted(sys.version_info[:2])
        return (
            f"{sys.executable} cannot create a virtual environment, since its modules venv and ensurepip are missing; "
            f"install them (Debian and Ubuntu: apt-get install python{own}-venv libpython{own}), or use another "
            f"Python, for example: make demo PYTHON={other()}"
        )
    return ""


def other() -> str:
    """The name of a usable Python on this machine, if there is one, else a default name."""
    for name in PREFERRED:
        if name != f"python{dotted(sys.version_info[:2])}" and asked(name, "import ensurepip, venv") is not None:
            return name
    return "python3.12"


def asked(python: str, code: str) -> "str | None":
    """The output of `code` in another Python; None if it fails."""
    try:
        return subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL, timeout=240).decode().strip()
    except (OSError, subprocess.SubprocessError):
        return None


def remove_foreign(folder: str) -> None:
    """Remove the environment in `folder`, with a message, if it belongs to another Python."""
    if not os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        return
    code = "import sys; print('{}.{} in {}'.format(*sys.version_info[:2], sys.base_prefix))"
    found = asked(os.path.join(folder, "bin", "python"), code)
    wanted = asked(sys.executable, code)
    if found != wanted:
        sys.stderr.write(f"Recreating {folder}: it has {'Python ' + found if found else 'no working Python'}, ")
        sys.stderr.write(f"but PYTHON is {wanted}\n")
        shutil.rmtree(folder)


def dotted(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


def main(folder: str) -> str:
    """The reason to stop; empty if there is none."""
    reason = refusal()
    if reason or not folder:
        return reason
    remove_foreign(folder)
    return "" if os.path.exists(os.path.join(folder, "bin", "pip")) else incomplete()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "") or 0)
