"""A process that places a version of the scripted model by the product's function, to be killed meanwhile.

    python -m tests.faults.placing REPOSITORY NUMBER ADAPTER

It says `BEGINS` before it places. The version's `model.py` is that of the scripted model.
"""

import subprocess
import sys
from pathlib import Path

from inference.settings import ADAPTER, SETTINGS, WEIGHTS, ModelSettings
from inference.triton import repository as layout
from inference.triton.placing import placed
from inference.triton.server import MODEL
from tests.faults.scorer import MODEL_PY

BEGINS = "begins"


def begin(repository: Path, number: int, adapter: Path) -> "subprocess.Popen[str]":
    """Start a process that places a version. Returns when it begins."""
    command = [sys.executable, "-m", "tests.faults.placing", str(repository), str(number), str(adapter)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line == BEGINS, f"placing said {line!r}"
    return process


def end(process: "subprocess.Popen[str]", *, kill: bool) -> int:
    """Wait for the process, or kill it at once; its exit status."""
    if kill:
        process.kill()
    assert process.stdout is not None
    process.stdout.close()
    return process.wait()


def incomplete(repository: Path, adapter: Path) -> list[str]:
    """What is wrong in a repository of the scripted model: parts of a version, or anything that is no version."""
    folder = repository / MODEL
    known = {"config.pbtxt", "script", "script.aside", "weights", *map(str, placed(repository))}
    wrong = [f"{repository} has {each.name}" for each in repository.iterdir() if each.name != MODEL]
    wrong += [f"{folder} has {each.name}" for each in folder.iterdir() if each.name not in known]
    for number in placed(repository):
        at = folder / str(number)
        found = {each.name: each.read_bytes() for each in (at / ADAPTER).glob("*")}
        if found != {each.name: each.read_bytes() for each in adapter.iterdir()}:
            wrong.append(f"{at} has another adapter")
        if (at / layout.MODEL_PY).read_text() != MODEL_PY or not (at / WEIGHTS).is_dir():
            wrong.append(f"{at} has not its model")
        ModelSettings.read(at / SETTINGS)
    return wrong


def main() -> None:
    from inference.item_tokens import adapter as _  # noqa: F401 - it imports torch, which takes seconds
    from inference.triton.placing import place

    repository, number, adapter = sys.argv[1:]
    layout._MODEL = MODEL_PY
    sys.stdout.write(f"{BEGINS}\n")
    sys.stdout.flush()
    place(Path(repository), int(number), Path(adapter))


if __name__ == "__main__":
    main()
