"""A small world for evaluations: people who go through one series after another, and a model that counts."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from inference.training.histories import Histories

SERIES, PARTS = 8, 6


def write(folder: Path, people: int = 60, seed: int = 0) -> tuple[Path, Path]:
    """`people.csv` and `shelf.csv`: people like the parts of some series in order, and view one thing between."""
    random = Random(seed)
    rows: list[tuple[str, str, int, str]] = []
    for person in range(people):
        second = 1_600_000_000 + random.randrange(400_000)
        for series in random.sample(range(SERIES), 3):
            for part in range(PARTS):
                rows.append((f"p{person}", f"s{series}-{part}", second, "bought"))
                second += random.choice((0, 60))
            rows.append((f"p{person}", f"s{random.randrange(SERIES)}-{random.randrange(PARTS)}", second, "looked"))
            second += 3600
    random.shuffle(rows)
    events, items = folder / "people.csv", folder / "shelf.csv"
    with events.open("w", newline="") as file:
        csv.writer(file).writerows([("who", "what", "when", "did"), *rows])
    with items.open("w", newline="") as file:
        told = [
            (f"s{series}-{part}", f"Series {series}, part {part}", f"series {series}|shelf {series % 2}")
            for series in range(SERIES)
            for part in range(PARTS)
        ]
        csv.writer(file).writerows([("what", "title", "genres"), *told])
    return events, items


@dataclass(frozen=True)
class Counted:
    """What counting said: `rows` float32 [versions, items, items], by the last item; each version from its `begins` on,
    with what it had met in `known`, bool [versions, items]."""

    stream: Histories
    begins: tuple[int, ...]
    rows: NDArray[np.float32]
    known: NDArray[np.bool_]
    tokens: float = 5.0

    def scores(self, event_index: int) -> NDArray[np.float32] | None:
        version = self._version(event_index)
        if version < 0:
            return None
        before = np.flatnonzero(self.stream.history[:event_index] == self.stream.history[event_index])
        nothing = np.zeros(self.rows.shape[1], np.float32)
        return nothing if not len(before) else self.rows[version, self.stream.item[before[-1]]]

    def unseen(self, event_index: int) -> NDArray[np.bool_]:
        return ~self.known[max(0, self._version(event_index))]

    def _version(self, event_index: int) -> int:
        return int(np.searchsorted(self.begins, event_index, side="right")) - 1


class CountingLearner:
    """Counts what came right after what. It writes down what it was trained on."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, str, int]] = []

    def walk(
        self,
        kind: str,
        streams: Sequence[Histories],
        cuts: Sequence[int],
        progress: Callable[[str, int, int], None],
    ) -> list[Counted]:
        rows = np.stack([self._count("walk", kind, streams[0], cut) for cut in cuts])
        progress(f"{kind}: counting", 1, 1)
        known = np.stack([streams[0].met(cut) for cut in cuts])
        return [Counted(stream, tuple(cuts), rows, known) for stream in streams]

    def hold_out(
        self,
        kind: str,
        learned: Histories,
        streams: Sequence[Histories],
        tests: Sequence[NDArray[np.int64]],
        progress: Callable[[str, int, int], None],
    ) -> list[Counted]:
        rows = self._count("hold_out", kind, learned, len(learned))[None]
        known = learned.met(len(learned))[None]
        return [Counted(stream, (0,), rows, known) for stream in streams]

    def _count(self, what: str, kind: str, stream: Histories, cut: int) -> NDArray[np.float32]:
        self.trained.append((what, kind, cut))
        rows = np.zeros((len(stream.items),) * 2, np.float32)
        for places in stream.sequences:
            items = stream.item[places[places < cut]]
            np.add.at(rows, (items[:-1], items[1:]), 1.0)
        return rows
