"""The virtual environments of the peers: one each, since their dependencies can conflict with Ouzel's."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

PINNED = {
    "faust": ("faust-streaming==0.15.3", "aiokafka==0.14.0", "msgspec==0.22.0"),
    "quix": ("quixstreams==3.28.0", "confluent-kafka==2.12.2", "rocksdict==0.3.29", "msgspec==0.22.0"),
    "bytewax": ("bytewax==0.21.1", "confluent-kafka==2.12.2", "msgspec==0.22.0"),
    "obp": ("numpy==1.26.4", "pandas==2.3.3", "scikit-learn==1.6.1", "scipy==1.13.1"),
}
"""The pinned packages of each peer. pip resolves their dependencies."""

ALONE = {"obp": ("sb-obp==0.5.10",)}
"""Packages that are installed without their dependencies: gigabytes that the benchmark does not import."""


def python(name: str, under: Path) -> Path:
    """The interpreter of the peer's environment, which is created if missing. Needs a package index.

    Exits if the environment cannot be created.
    """
    folder = under / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    mark = folder / "pinned.txt"
    alone = ALONE.get(name, ())
    wanted = "\n".join((*PINNED[name], *alone))
    if not (mark.is_file() and mark.read_text() == wanted):
        sys.stderr.write(f"Creating the environment of {name} in {folder}\n")
        shutil.rmtree(folder, ignore_errors=True)
        venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for packages in (PINNED[name], ("--no-deps", *alone))[: 1 + bool(alone)]:
            done = subprocess.run([*install, *packages], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = done.stderr.strip()[-800:]
                sys.exit(f"{name} could not be installed; check that pip reaches an index:\n{said}")
        mark.write_text(wanted)
    return folder / "bin" / "python"
