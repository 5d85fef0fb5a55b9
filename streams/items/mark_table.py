"""Which items stand under a digest, among all that a catalogue has had. Pure."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]

APART = 8
"""How many times as long as the next a run of the table is, at least."""


class MarkTable:
    """Item numbers by the digest of the item: 16 bytes each. Where several items have one digest, all are found.

    It is kept in a few sorted runs, each much longer than the next, so that a new item costs little however many there
    are: nothing is sorted anew but runs that have become too short beside what came after them.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Marks, Ints]] = []
        self._fresh: list[tuple[int, int]] = []
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def add(self, digest: int, number: int) -> None:
        self._fresh.append((digest, number))
        self._held += 1

    def find(self, digests: Marks) -> Ints:
        """The numbers under any of `digests`, in no order; of a digest that is named twice, twice."""
        self._sort()
        found = [_find(marks, numbers, digests) for marks, numbers in self._runs]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _sort(self) -> None:
        if not self._fresh:
            return
        marks = np.array([digest for digest, _ in self._fresh], np.uint64)
        numbers = np.array([number for _, number in self._fresh], np.int64)
        self._fresh.clear()
        while self._runs and len(self._runs[-1][0]) < APART * len(marks):
            before = self._runs.pop()
            marks, numbers = np.concatenate((before[0], marks)), np.concatenate((before[1], numbers))
        order = np.argsort(marks, kind="stable")  # it merges what is sorted already
        self._runs.append((marks[order], numbers[order]))


def _find(marks: Marks, numbers: Ints, digests: Marks) -> Ints:
    first = np.searchsorted(marks, digests)
    there = first < len(marks)
    there[there] = marks[first[there]] == digests[there]
    first = first[there]
    count = np.searchsorted(marks, digests[there], "right") - first
    if (count == 1).all():
        return np.asarray(numbers[first])
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(numbers[np.repeat(first, count) + within])
