"""One thing that two kinds of work share, one at a time: foreground work goes before background work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`first` and `second` are context managers; one body at a time runs within either.

    Whoever asks for a first turn waits for one body at most, or for others with first turns. A second turn comes when
    nobody waits for a first one, or after `patience` seconds, so that it comes at all. A long body within it calls
    `give_way` often: then a first turn waits for the time between two calls at most.
    """

    def __init__(self, patience: float = 0.1) -> None:
        self._changed = threading.Condition()
        self._patience = patience
        self._taken = False
        self._waiting = self._overdue = 0

    @contextmanager
    def first(self) -> Iterator[None]:
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
            self._give_back()

    @contextmanager
    def second(self) -> Iterator[None]:
        with self._changed:
            self._take_second()
        try:
            yield
        finally:
            self._give_back()

    def give_way(self) -> None:
        """Within a second turn: have those that wait for a first one go now, and go on after them."""
        if not self._waiting:
            return
        with self._changed:
            self._taken = False
            self._changed.notify_all()
            self._take_second()

    def _take_second(self) -> None:
        if not self._changed.wait_for(lambda: not self._taken and not self._waiting, self._patience):
            self._overdue += 1
            self._changed.wait_for(lambda: not self._taken)
            self._overdue -= 1
        self._taken = True

    def _give_back(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
