"""Let other processes on this machine go first."""

import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

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
    """The niceness of the process's session (setsid(2)), -20 to 19; None if the kernel has none."""
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
        except OSError as error:
            log.warning("This work may slow others: the niceness of its session could not be raised (%s)", error)
            return
        else:
            return
    log.warning("This work may slow others: the kernel was too busy to raise the niceness of its session")
