"""The memory in /dev/shm that tritonserver shares with its model's stub: whose it is, and when it goes.

The server makes a region for each model and does not remove it when it is killed. Its names get a prefix of this
server's own, and a lock beside them says whether it lives: every process of it holds the lock, so that the next server
that starts on this machine, in whatever container, removes what dead ones left and nothing else.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - where the backend puts them, not where we would
MAPS = Path("/proc/self/maps")
_LOCK = "lock"
_PREFIX = re.compile(r"ouzel-[0-9a-f]{16}-")


@dataclass(frozen=True)
class Regions:
    """The names of one server's regions begin with `prefix`; `lock` is a file descriptor for its processes to hold."""

    prefix: str
    lock: int

    def options(self) -> list[str]:
        """The server's options."""
        return [f"--backend-config=python,shm-region-prefix-name={self.prefix}"]


@contextmanager
def claimed(folder: Path = FOLDER) -> Iterator[Regions]:
    """Names for one server's regions, which are removed at the end; those of dead servers are removed before."""
    sweep(folder)
    prefix = f"ouzel-{secrets.token_hex(8)}-"
    lock = _claim(folder / f"{prefix}{_LOCK}")
    try:
        yield Regions(prefix, lock)
    finally:
        _remove(folder, prefix)
        os.close(lock)


def sweep(folder: Path = FOLDER) -> None:
    """Remove the regions of servers none of whose processes lives any more. What is somebody else's stays."""
    for path in folder.glob(f"ouzel-*-{_LOCK}"):
        # Anybody may make files here: a name of another form would have it remove what lives.
        if not _PREFIX.fullmatch(prefix := path.name.removesuffix(_LOCK)):
            continue
        try:
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # another user's, or gone by now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                _remove(folder, prefix)
        except BlockingIOError:
            pass  # it lives
        finally:
            os.close(lock)


def protect(maps: Path = MAPS, folder: Path = FOLDER) -> None:
    """Let nobody else read the regions that this process has mapped. For the model's stub, before its first request:
    the backend makes them readable for all users of the machine, whatever the umask says."""
    for line in maps.read_text().splitlines():
        _, slash, rest = line.partition("/")
        path = Path(slash + rest)
        if path.parent == folder:
            with suppress(FileNotFoundError):
                path.chmod(0o600)


def _claim(path: Path) -> int:
    """A new file, locked. Until it is, a sweep may take it for a dead server's and remove it: then again."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)


def _remove(folder: Path, prefix: str) -> None:
    """The lock last: regions without one would be nobody's for good. What others put there stays."""
    lock = folder / f"{prefix}{_LOCK}"
    for path in [*(each for each in folder.glob(f"{prefix}*") if each != lock), lock]:
        with suppress(OSError):
            path.unlink()
