"""One thing that two kinds of work share, one at a time: what somebody waits for goes before what nobody waits for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """`first` and `second` are context managers; one body at a time runs within either.

    Whoever asks for a first turn waits for one body at most, or for others with first turns. A second turn comes when
    nobody waits for a first one: so keep the bodies of second turns short, and take many.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._waiting = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._taken)
            self._waiting -= 1
            self._taken = True
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def second(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken and not self._waiting)
            self._taken = True
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
