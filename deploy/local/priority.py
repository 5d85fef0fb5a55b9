"""Let other processes on this machine go first."""

import os
import time
from pathlib import Path

NICENESS = 10
"""Of work that must not slow workers."""

AUTOGROUP = Path("/proc/self/autogroup")
TRIES, PAUSE_SECONDS = 4, 0.11
"""The kernel refuses two changes of groups within a tenth of a second."""


def lower_priority(niceness: int) -> None:
    """Give this process and its future children this niceness, 0 to 19, unless theirs is higher.

    Linux may divide processor time among sessions first (`sched_autogroup`, sched(7)). Niceness then counts only within
    a session, and a process in a separate session would get as much time as a worker. So a process that leads a
    session gives the niceness to its session too.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        _lower_session(niceness)


def session_niceness() -> int | None:
    """The niceness of this session among others; None where the kernel does not tell."""
    try:
        return int(AUTOGROUP.read_text(encoding="ascii").split()[-1])
    except (OSError, ValueError, IndexError):
        return None


def _lower_session(niceness: int) -> None:
    found = session_niceness()
    if found is None or found >= niceness:
        return
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(str(niceness), encoding="ascii")
        except BlockingIOError:
            time.sleep(PAUSE_SECONDS)
        except OSError:
            return  # not allowed: the niceness of the process has to do
        else:
            return
