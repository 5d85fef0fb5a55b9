"""Whether this Python can run Ouzel, and whether the environment in FOLDER is its own:
`PYTHON deploy/interpreter.py [FOLDER]`

make asks before pip runs. It imports nothing of ours, and parses on every Python from 3.6 on. It ends with one sentence
where this Python cannot be used. An environment in FOLDER of another Python is removed, to be made again.
"""

import os
import shutil
import subprocess
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 14)
PREFERRED = ("python3.13", "python3.12", "python3.11", "python3.14")
"""Names to look for. The last one cannot run the models of tritonserver."""


def refusal() -> str:
    """Why Ouzel cannot run on this Python; empty if it can."""
    version = sys.version_info[:2]
    usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if usual and OLDEST <= version <= NEWEST:
        return ""
    sort = "" if usual else ", and not the usual CPython"
    return (
        f"Ouzel needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, and {sys.executable} is {dotted(version)}{sort}; "
        f"name another one, as in: make demo PYTHON={other()}"
    )


def incomplete() -> str:
    """Why this Python cannot make an environment; empty if it can."""
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        own = dotted(sys.version_info[:2])
        return (
            f"{sys.executable} cannot make an environment without its modules venv and ensurepip; install them (Debian "
            f"and Ubuntu: apt-get install python{own}-venv libpython{own}), or name another Python, as in: "
            f"make demo PYTHON={other()}"
        )
    return ""


def other() -> str:
    """The name of a Python that could be used: one on this machine, if there is one."""
    for name in PREFERRED:
        if name != f"python{dotted(sys.version_info[:2])}" and asked(name, "import ensurepip, venv") is not None:
            return name
    return "python3.12"


def asked(python: str, code: str) -> "str | None":
    """What a Python prints for `code`; None if it cannot run it."""
    try:
        return subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL, timeout=240).decode().strip()
    except (OSError, subprocess.SubprocessError):
        return None


def remove_another_s(folder: str) -> None:
    """Remove the environment in `folder` if another Python made it, and say so."""
    if not os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        return
    code = "import sys; print('{}.{} in {}'.format(*sys.version_info[:2], sys.base_prefix))"
    found = asked(os.path.join(folder, "bin", "python"), code)
    wanted = asked(sys.executable, code)
    if found != wanted:
        sys.stderr.write(f"Making {folder} again: it has Python {found or 'no more'}, and PYTHON names {wanted}\n")
        shutil.rmtree(folder)


def dotted(version: "tuple[int, ...]") -> str:
    return ".".join(map(str, version))


def main(folder: str) -> str:
    """Why not to go on; empty if all is well."""
    reason = refusal()
    if reason or not folder:
        return reason
    remove_another_s(folder)
    return "" if os.path.exists(os.path.join(folder, "bin", "pip")) else incomplete()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "") or 0)
