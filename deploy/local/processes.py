"""Start, await and stop child processes, which never outlive their parent.

Each child leads a separate session, so that Ctrl-C reaches only the parent, which then stops its children in order. If
the parent can no longer do that, `deploy.local.watchdog` does.
"""

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from deploy.errors import StartFailed
from deploy.local import watchdog
from deploy.local.environment import environment
from streams.private import UMASK, private_file, private_folder

LOG_TAIL_LINES = 12
MAX_LINE = 500
TABLE = ("+-", "| ")
POLL_SECONDS = 0.05

Probe = Callable[[], bool]
"""Returns whether a service answers."""


class _Watch:
    """This process's watchdog, started with its first child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def begin(self) -> None:
        """Start it if it does not run. Call before starting a child, so that only one write separates the two."""
        with self._lock:
            self._begun()

    def tell(self, line: str) -> None:
        with self._lock:
            pipe = self._begun().stdin
            assert pipe is not None
            pipe.write(line + "\n")
            pipe.flush()

    def _begun(self) -> subprocess.Popen[str]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(watchdog.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,
                text=True,
            )
            self._owner = os.getpid()
        return self._process

    def close(self) -> None:
        """Let it kill the groups still on its list, and exit."""
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                return
            assert self._process.stdin is not None
            self._process.stdin.close()
            # It exits at once unless a child was left; then it continues after this process, which cannot reap it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            self._process = None


_watch = _Watch()
atexit.register(_watch.close)


def guard(group: int) -> None:
    """Have a process group, started by other means than `Child`, killed if this process dies."""
    _watch.tell(f"+{group}")


def release(group: int) -> None:
    """Stop watching a process group that has exited: its number may be reused."""
    _watch.tell(f"-{group}")


class Child:
    """One running child process; its output is appended to `log`.

    As a context manager it is stopped on exit. `env` adds to the variables that `deploy.local.environment` passes on.
    Its files, including the log, are readable by this user only.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        if not log.parent.exists():
            private_folder(log.parent)
        self._output: IO[bytes] = open(log, "ab", opener=private_file)  # noqa: SIM115 - `kill` closes it
        _watch.begin()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=environment(env),
                cwd=cwd,
                umask=UMASK,
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise StartFailed(f"{name} could not be started: {error}. Check that {command[0]} can run.") from error
        self.pid = self._process.pid
        _watch.tell(f"+{self.pid}")

    @property
    def returncode(self) -> int | None:
        """The exit status (minus the signal's number if one ended it), or None while it runs."""
        return self._process.poll()

    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, probe: Probe, timeout: float) -> None:
        """Return when `probe` is true. Raises `StartFailed` if the child exits first or `timeout` seconds pass.

        A probe that raises OSError or HTTPException counts as not ready yet. The child is stopped before the error is
        raised.
        """
        deadline = time.monotonic() + timeout
        while not self._is_ready(probe, timeout, deadline):
            time.sleep(POLL_SECONDS)

    async def until_ready(self, probe: Probe, timeout: float) -> None:
        """`wait_ready` for an event loop; `probe` runs in a thread."""
        deadline = time.monotonic() + timeout
        while not await asyncio.to_thread(self._is_ready, probe, timeout, deadline):  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(POLL_SECONDS)

    def _is_ready(self, probe: Probe, timeout: float, deadline: float) -> bool:
        if not self.running():
            why = f"{how_it_ended(self.returncode)} before it was ready"
        else:
            with contextlib.suppress(OSError, HTTPException):
                if probe():
                    return True
            if time.monotonic() < deadline:
                return False
            why = f"was not ready within {timeout:g} s: it hangs, or this machine is overloaded"
        said = self.tail()
        self.stop(grace=2.0)
        raise StartFailed(f"{self.name} {why}. The last lines of {self.log}:\n{said}")

    def wait(self, timeout: float) -> int:
        """Wait for the child to exit; return its status. Raises TimeoutError after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} is still running after {timeout:g} s; see {self.log}") from None

    def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds, also to processes that the child left behind. Idempotent."""
        if self.running():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the child and its process group, like a crash. Idempotent."""
        if not self._output.closed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._output.close()
        status = self._process.wait()
        _watch.tell(f"-{self.pid}")
        return status

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log, for an error message."""
        return tail(self.log, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, for an error message: without tritonserver's tables, each cut at `MAX_LINE`."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"({log} cannot be read: {error.strerror})"
    told = [line[:MAX_LINE] for line in text if line.strip() and not line.startswith(TABLE)]
    return "\n".join(told[-lines:]) or "(empty)"


def how_it_ended(status: int | None) -> str:
    """An exit status as `subprocess` gives it, in words."""
    if status is not None and status < 0:
        return f"was killed by signal {-status}"
    return f"ended with status {status}"
