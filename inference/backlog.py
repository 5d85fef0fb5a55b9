"""What a model has yet to do between lists: questions about items that wait, and whether something is to be tended."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from inference.errors import TooManyWait

T = TypeVar("T")


class Backlog(Generic[T]):
    """Questions in the order in which they came, at most `most` of them and `most_bytes` together.

    One thread puts; another iterates over it, and waits for the next. It gives None where nothing waits but
    something is to be tended. It ends after `close`, when what had been put by then is taken.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._tend = self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self, size: int) -> None:
        """Raises `TooManyWait` where there is no room for a question of `size` bytes."""
        with self._changed:
            if len(self._waiting) >= self._most:
                raise TooManyWait(
                    f"{len(self._waiting)} questions about items wait; ask again later, or build the model repository "
                    "with a greater max_describes"
                )
            if self._bytes + size > self._most_bytes:
                raise TooManyWait(
                    f"questions about items of {self._bytes} bytes wait; ask again later, with less text, or build the "
                    "model repository with a greater describe_queue_mib"
                )

    def put(self, question: T, size: int) -> None:
        """Have a question wait. Raises `TooManyWait`."""
        self.check(size)
        with self._changed:
            self._waiting.append((question, size))
            self._bytes += size
            self._changed.notify()

    def tend(self) -> None:
        """Lists lacked something, or something is to be saved."""
        with self._changed:
            self._tend = True
            self._changed.notify()

    def close(self) -> None:
        """Nothing is put any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[T | None]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._tend or self._closed)
                self._tend, tend = False, self._tend
                if self._waiting:
                    question, size = self._waiting.popleft()
                    self._bytes -= size
                elif tend:
                    question = None
                else:
                    return
            yield question
