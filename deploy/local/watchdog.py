"""Stop the children of a process that died without stopping them.

The watchdog is a separate program that imports only the standard library. The parent holds the write end of its stdin
and writes `+PID` or `-PID`, one per line. However the parent dies (SIGKILL, a closed terminal, a crash), the kernel
closes that end. The process groups still on the list then get SIGTERM, and SIGKILL after `GRACE_SECONDS`.

Linux's PR_SET_PDEATHSIG is no alternative: it signals one process but not its children, depends on the thread that
started it instead of the process, and does not exist on macOS.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10.0


def listed(lines: Iterable[str]) -> set[int]:
    """The process groups on the list after `lines`. Lines other than `+PID` or `-PID` are skipped."""
    groups: set[int] = set()
    for line in lines:
        sign, number = line[:1], line[1:].strip()
        if not number.isdecimal() or int(number) <= 1:
            continue
        if sign == "+":
            groups.add(int(number))
        elif sign == "-":
            groups.discard(int(number))
    return groups


def alive(group: int) -> bool:
    """Whether any process of the group is alive."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(groups: set[int]) -> None:
    """Send SIGTERM to each group, then SIGKILL to those alive after `GRACE_SECONDS`."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(alive(group) for group in groups):
        time.sleep(0.05)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    end(listed(sys.stdin))
