"""Pairs of items: the kernels that weigh them, and the rows that store them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.fold.covisits import REACH

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Kernel:
    """The weight of a pair: `decay` to the power of its distance, which is 0 for adjacent events.

    With `liked`, only pairs of likes count, with the distance in likes; otherwise all pairs, in events of any kind.
    """

    name: str
    liked: bool
    decay: float


KERNELS = (
    Kernel("met_near", liked=False, decay=0.8),
    Kernel("met_wide", liked=False, decay=0.98),
    Kernel("liked", liked=True, decay=0.97),
)
SIGNATURE = ",".join(f"{'l' if kernel.liked else 'e'}{kernel.decay}" for kernel in KERNELS)
LIKED = np.array([kernel.liked for kernel in KERNELS])


def _table(liked: bool) -> Floats:
    """The weight that a pair adds to each kernel by distance, float32 [REACH + 1, kernels]; zero at distance 0."""
    apart = np.arange(REACH + 1)[:, None]
    decays = np.array([kernel.decay for kernel in KERNELS])
    return np.where((apart > 0) & (liked == LIKED), decays ** np.maximum(apart - 1, 0), 0.0).astype(np.float32)


MET_TABLE, LIKED_TABLE = _table(False), _table(True)


class Row:
    """A map from item numbers to one weight per kernel, in arrays. `ts` is the time that the weights are decayed to."""

    __slots__ = ("others", "slots", "ts", "used", "weights")

    def __init__(self, ts: int = 0) -> None:
        self.ts = ts
        self.others = np.zeros(8, np.int64)
        self.weights = np.zeros((8, len(KERNELS)), np.float32)
        self.slots: dict[int, int] = {}
        self.used = 0

    def slot(self, other: int) -> int:
        """The slot of `other`; a new one with weight 0 if it had none."""
        slot = self.slots.get(other)
        if slot is None:
            slot = self.used
            if slot == len(self.others):
                self.others = np.concatenate((self.others, np.zeros_like(self.others)))
                self.weights = np.concatenate((self.weights, np.zeros_like(self.weights)))
            self.slots[other] = slot
            self.others[slot] = other
            self.weights[slot] = 0.0
            self.used += 1
        return slot

    def drop(self, other: int) -> None:
        """Remove `other`, if present."""
        slot = self.slots.pop(other, None)
        if slot is None:
            return
        self.used = last = self.used - 1
        if slot != last:
            moved = self.others[slot] = self.others[last]
            self.weights[slot] = self.weights[last]
            self.slots[int(moved)] = slot

    def rename(self, before: int, after: int) -> None:
        """Change the number of `before`, if present."""
        slot = self.slots.pop(before, None)
        if slot is not None:
            self.slots[after] = slot
            self.others[slot] = after

    def keep(self, chosen: Ints) -> None:
        """Keep only these slots, in this order."""
        self.others = self.others[chosen]
        self.weights = self.weights[chosen]
        self.used = len(chosen)
        self.slots = {int(other): slot for slot, other in enumerate(self.others)}
