"""How the network that was trained orders items before some held-out likes: what a served version is compared with.

FOLDER/order.safetensors     likes uint64 [n], items uint64 [n, k], logits float32 [n, k]

Written with a version, before its tensors are rounded, and deleted once it is judged. Likes and items are named by
XXH3 hashes of what the training log has of them, since it may have grown: their numbers may differ, and an event may be
logged after a later one of the same user, of which feedback told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from xxhash import xxh3_64_intdigest

from inference.errors import WeightsError
from inference.training.held_out import Judged
from inference.training.histories import Histories, Ints

ORDER = "order.safetensors"
LIKES = 100
DEPTH = 100
"""Ranks are compared among this many of the trained network's top items: the rest is never listed."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class TrainedOrder:
    """The top k items before each of n likes, uint64 [n, k], and their logits, float32 [n, k]: -inf where there are
    fewer. `likes` uint64 [n]."""

    likes: Hashes
    items: Hashes
    logits: NDArray[np.float32]

    @classmethod
    def of(cls, judged: Judged, histories: Histories, tests: Ints) -> "TrainedOrder":
        """The order of a network that `judged` the likes `tests`, of at most `LIKES` of them."""
        chosen = np.arange(len(tests))[:: max(1, -(-len(tests) // LIKES))]
        names = _names(histories.items)
        depth = min(DEPTH, len(names))
        items, logits = np.zeros((len(chosen), depth), np.int64), np.zeros((len(chosen), depth), np.float32)
        for row, at in enumerate(chosen.tolist()):
            scores, place = judged.scores(at), int(tests[at])
            sequence = histories.sequences[histories.history[place]]
            scores[histories.item[sequence[: np.searchsorted(sequence, place)]]] = -np.inf
            items[row] = np.argsort(-scores, kind="stable")[:depth]
            logits[row] = scores[items[row]]
        return cls(_likes(histories, tests[chosen]), names[items], logits)

    @classmethod
    def read(cls, folder: Path) -> "TrainedOrder | None":
        """That of the version in `folder`; None if there is none. Raises `WeightsError`."""
        path = folder / ORDER
        if not path.exists():
            return None
        try:
            found = load_file(path)
            order = cls(found["likes"], found["items"], found["logits"])
            n, k = order.items.shape
            if order.likes.shape != (n,) or order.logits.shape != (n, k):
                raise ValueError("its arrays do not fit together")
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise WeightsError(f"{path}: {error}; delete it, and the version is compared in fp32 instead") from None
        return order

    def write(self, folder: Path) -> None:
        save_file({"likes": self.likes, "items": self.items, "logits": self.logits}, folder / ORDER)

    def found(self, histories: Histories, among: Ints) -> tuple[Ints, NDArray[np.float32]]:
        """The places `among` which there is an order, int64 [m], ascending, and the logits [m, items] at each: -inf
        for items that are not in it. Left out are likes of one hash, and those before which the streams differ."""
        names, counts = np.unique(self.likes, return_counts=True)
        hashes = _likes(histories, among)
        seen, times = np.unique(hashes, return_counts=True)
        clear = np.intersect1d(names[counts == 1], seen[times == 1])
        places = among[np.isin(hashes, clear)]
        rows = np.argsort(self.likes)[np.searchsorted(np.sort(self.likes), _likes(histories, places))]
        number = {name: at for at, name in enumerate(_names(histories.items).tolist())}
        logits = np.full((len(places), len(histories.items)), -np.inf, np.float32)
        for row, at in enumerate(rows.tolist()):
            for name, logit in zip(self.items[at].tolist(), self.logits[at].tolist(), strict=True):
                if name in number:
                    logits[row, number[name]] = logit
        return places, logits


def _names(items: Sequence[str]) -> Hashes:
    return np.array([xxh3_64_intdigest(item.encode()) for item in items], np.uint64)


def _likes(histories: Histories, places: Ints) -> Hashes:
    """Of each like with everything that its user did before: a like with other events before it is another one."""
    names, found = _names(histories.items), []
    for place in places.tolist():
        sequence = histories.sequences[histories.history[place]]
        until = sequence[: np.searchsorted(sequence, place) + 1]
        found.append(xxh3_64_intdigest(names[histories.item[until]].tobytes() + histories.ts[until].tobytes()))
    return np.array(found, np.uint64)
