"""Building the model in a process of its own, so that it can be ended at any time: `python -m deploy.building`.

It takes the folder of the model repository and that of the model's environment ("-" for none), and prints a line a
step: how much is done, of how much, and what.
"""

import sys
from pathlib import Path

from inference.errors import InferenceError
from inference.repository import build
from inference.settings import ModelSettings


def report(label: str, done: int, total: int) -> None:
    print(f"{done} {total} {label}", flush=True)  # noqa: T201 - the parent reads it


def parse(line: str) -> tuple[str, int, int] | None:
    """What `report` printed, as (label, done, total); None for any other line."""
    done, _, rest = line.partition(" ")
    total, _, label = rest.partition(" ")
    if not (done.isdecimal() and total.isdecimal() and label):
        return None
    return label, int(done), int(total)


def main(repository: str, environment: str) -> int:
    try:
        build(Path(repository), ModelSettings(), report, environment=None if environment == "-" else Path(environment))
    except InferenceError as error:
        print(error, flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
