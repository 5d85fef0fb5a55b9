"""Ends the children of a process that died without ending them itself.

It runs as a program of its own and imports the standard library only. The parent holds the write end of its stdin and
tells it `+PID` or `-PID`, one a line. However the parent goes (SIGKILL, a closed terminal, a crash), the kernel closes
that end: the process groups that are still on the list get SIGTERM, and SIGKILL when `GRACE_SECONDS` are over.

This is used rather than Linux's PR_SET_PDEATHSIG because that signal reaches one process and not its children, follows
the thread that started it rather than the process, and does not exist on macOS.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10.0


def listed(lines: Iterable[str]) -> set[int]:
    """The process groups on the list when `lines` end. Anything that is not `+PID` or `-PID` is skipped."""
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
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(groups: set[int]) -> None:
    """SIGTERM each group, and SIGKILL what is left of it after the grace."""
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
