"""The model's background work between lists: queued describe and interpret requests, and a flag for housekeeping."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from inference.errors import TooManyWait

T = TypeVar("T")


class Backlog(Generic[T]):
    """A bounded FIFO queue: at most `most` requests and `most_bytes` in total.

    One thread puts; another iterates, blocking for the next request. Iteration yields None if no request waits but
    `tend` was called. After `close` it yields the remaining requests and ends.
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
        """Raises `TooManyWait` if there is no room for a request of `size` bytes."""
        with self._changed:
            if len(self._waiting) >= self._most:
                raise TooManyWait(
                    f"{len(self._waiting)} describe requests are queued; retry later, or build the model repository "
                    "with a larger max_describes"
                )
            if self._bytes + size > self._most_bytes:
                raise TooManyWait(
                    f"describe requests of {self._bytes} bytes are queued; retry later, with less text, or build the "
                    "model repository with a larger describe_queue_mib"
                )

    def put(self, question: T, size: int, *, first: bool = False) -> None:
        """Queue a request of `size` bytes, before all others with `first`. Raises `TooManyWait`."""
        self.check(size)
        with self._changed:
            add = self._waiting.appendleft if first else self._waiting.append
            add((question, size))
            self._bytes += size
            self._changed.notify()

    def tend(self) -> None:
        """Request housekeeping: lists lacked items, or readings have to be saved."""
        with self._changed:
            self._tend = True
            self._changed.notify()

    def close(self) -> None:
        """End the iteration once the queue is empty."""
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
