"""Ownership and removal of the memory in /dev/shm that tritonserver shares with its model's stub.

The server creates a region for each model and leaves it behind when it is killed. The names of its regions get a unique
prefix, and a lock file beside them shows whether the server is alive: all its processes hold the lock. The next server
on this machine, in any container, removes the regions of dead servers and nothing else.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - the backend's choice
MAPS = Path("/proc/self/maps")
_LOCK = "lock"
_PREFIX = re.compile(r"ouzel-[0-9a-f]{16}-")


@dataclass(frozen=True)
class Regions:
    """One server's regions: their names begin with `prefix`; its processes hold the file descriptor `lock`."""

    prefix: str
    lock: int

    def options(self) -> list[str]:
        """The server's options."""
        return [f"--backend-config=python,shm-region-prefix-name={self.prefix}"]


@contextmanager
def claimed(folder: Path = FOLDER) -> Iterator[Regions]:
    """Names for one server's regions, which are removed at exit; removes those of dead servers first."""
    sweep(folder)
    prefix = f"ouzel-{secrets.token_hex(8)}-"
    lock = _claim(folder / f"{prefix}{_LOCK}")
    try:
        yield Regions(prefix, lock)
    finally:
        _remove(folder, prefix)
        os.close(lock)


def sweep(folder: Path = FOLDER) -> None:
    """Remove the regions of servers without a living process. Other users' files stay."""
    for path in folder.glob(f"ouzel-*-{_LOCK}"):
        # Any user may create files here: a name of another form could match the files of a living server.
        if not _PREFIX.fullmatch(prefix := path.name.removesuffix(_LOCK)):
            continue
        try:
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # another user's, or already removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                _remove(folder, prefix)
        except BlockingIOError:
            pass  # the server is alive
        finally:
            os.close(lock)


def protect(maps: Path = MAPS, folder: Path = FOLDER) -> None:
    """Make the regions that this process has mapped readable for their owner only. For the model's stub, before its
    first request: the backend makes them readable for all users, whatever the umask."""
    for line in maps.read_text().splitlines():
        _, slash, rest = line.partition("/")
        path = Path(slash + rest)
        if path.parent == folder:
            with suppress(FileNotFoundError):
                path.chmod(0o600)


def _claim(path: Path) -> int:
    """Create and lock a file. A sweep may remove it before it is locked, as a dead server's; then retry."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)


def _remove(folder: Path, prefix: str) -> None:
    """Remove the lock last, since regions without one would never be removed. Other users' files stay."""
    lock = folder / f"{prefix}{_LOCK}"
    for path in [*(each for each in folder.glob(f"{prefix}*") if each != lock), lock]:
        with suppress(OSError):
            path.unlink()
