"""Events in time order: in a drawn order where times are equal, or, however many there are, in chunks on disk.

A chunk is sorted in memory, laid down in a temporary file, and merged with the others. At most one chunk of `CHUNK`
events, or one event a file, is in memory, and 8 bytes for the time of each.
"""

import heapq
import struct
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from random import Random
from types import TracebackType
from typing import IO, Self

import numpy as np

from schemas.codec import decode, encode
from schemas.events import Event

CHUNK = 200_000
LENGTH = struct.Struct("<I")


def drawn(events: Sequence[Event], seed: int) -> list[Event]:
    """The events by (time, an order drawn from `seed`), so that no order of a file decides between equal times."""
    order = list(range(len(events)))
    Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return sorted((events[at] for at in order), key=_time)


class Ordered:
    """The events given, oldest first, those of one time in the order given; `total` is how many.

    A context manager, since it may hold temporary files; iterate it once.
    """

    def __init__(
        self, events: Iterable[Event], *, chunk: int = CHUNK, on_read: Callable[[int], None] | None = None
    ) -> None:
        self.total = 0
        self._files = ExitStack()
        self._runs: list[Iterable[Event]] = []
        self._times = array("q")
        source = iter(events)
        while part := list(islice(source, chunk)):
            self.total += len(part)
            self._times.extend(event.ts for event in part)
            part.sort(key=_time)
            self._runs.append(part if len(part) < chunk else self._lay_down(part))
            if on_read is not None:
                on_read(self.total)

    def time_at(self, number: int) -> int:
        """The time of the event that comes as `number`, from 0."""
        return int(np.partition(np.array(self._times), number)[number])

    def __iter__(self) -> Iterator[Event]:
        return heapq.merge(*self._runs, key=_time)

    def _lay_down(self, part: list[Event]) -> Iterator[Event]:
        file = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        for event in part:
            value = encode(event)
            file.write(LENGTH.pack(len(value)) + value)
        file.seek(0)
        return _read(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()


def _read(file: IO[bytes]) -> Iterator[Event]:
    while head := file.read(LENGTH.size):
        yield decode(Event, file.read(LENGTH.unpack(head)[0]))


def _time(event: Event) -> int:
    return event.ts
