"""A lock with two priorities: foreground work goes before background work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PriorityLock:
    """`foreground` and `background` are context managers; only one body runs at a time.

    Foreground work waits for at most one background body, and for other foreground work. Background work starts when no
    foreground work waits, or after `patience` seconds, so that it is never starved. Long background bodies should call
    `give_way` often: foreground work then waits at most for the time between two calls.
    """

    def __init__(self, patience: float = 0.1) -> None:
        self._changed = threading.Condition()
        self._patience = patience
        self._taken = False
        self._waiting = self._overdue = 0

    @contextmanager
    def foreground(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._taken and not self._overdue)
            finally:
                self._waiting -= 1
            self._taken = True
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def background(self) -> Iterator[None]:
        with self._changed:
            self._acquire_background()
        try:
            yield
        finally:
            self._release()

    def give_way(self) -> None:
        """Within a background body: let waiting foreground work run, then continue."""
        if not self._waiting:
            return
        with self._changed:
            self._taken = False
            self._changed.notify_all()
            self._acquire_background()

    def _acquire_background(self) -> None:
        if not self._changed.wait_for(lambda: not self._taken and not self._waiting, self._patience):
            self._overdue += 1
            self._changed.wait_for(lambda: not self._taken)
            self._overdue -= 1
        self._taken = True

    def _release(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
