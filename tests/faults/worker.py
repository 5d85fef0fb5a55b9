"""A worker whose clock can be stepped: its wall time is the machine's plus the seconds in a file.

    FAULTS_CLOCK=FILE python -m tests.faults.worker

The monotonic clock is unchanged, as with a real clock step.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "FAULTS_CLOCK"
LOOK_SECONDS = 0.05


def stepping(file: Path) -> Callable[[], float]:
    """The seconds in `file`, read at most every `LOOK_SECONDS`; 0 if it does not exist."""
    held, looked = 0.0, float("-inf")

    def offset() -> float:
        nonlocal held, looked
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            try:
                held = float(file.read_text() or 0)
            except OSError:
                held = 0.0
        return held

    return offset


def main() -> int:
    offset = stepping(Path(os.environ[VARIABLE]))
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + offset()
    time.time_ns = lambda: nanoseconds() + int(offset() * 1e9)

    from deploy.worker import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
