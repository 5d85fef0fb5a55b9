"""A map from digests to item numbers, for all items that a catalogue has had. Pure."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]

APART = 8
"""Minimum ratio between the lengths of consecutive runs."""


class MarkTable:
    """Item numbers by the digest of the item, 16 bytes each. Finds all items that share a digest.

    Stored as a few sorted runs, each much longer than the next, like a log-structured merge tree: adding an item stays
    cheap at any size, since only runs that have become too short relative to newer ones are merged.
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
        """The numbers of `digests`, in no order. A repeated digest yields its numbers repeatedly."""
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
        order = np.argsort(marks, kind="stable")  # a merge sort, fast on sorted runs
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
