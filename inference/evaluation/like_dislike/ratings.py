"""Ratings as arrays, and their division into folds by user."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ratings:
    """`user`, `item` int64 [n], numbered from 0 to below `users` and `items`; `value` float32 [n], -2 to 2, above 0 a
    like, below 0 a dislike; `seconds` float64 [n]."""

    user: Ints
    item: Ints
    value: Floats
    seconds: NDArray[np.float64]
    users: int
    items: int

    def __len__(self) -> int:
        return len(self.user)

    def only(self, which: NDArray[np.bool_]) -> "Ratings":
        return Ratings(
            self.user[which], self.item[which], self.value[which], self.seconds[which], self.users, self.items
        )


@dataclass(frozen=True)
class Texts:
    """What is known of items: unit rows (or 0) of words, float32 [items, d], and of attributes, float32 [items, a]."""

    words: Floats
    attributes: Floats


def folds(user: Ints, count: int, seed: int = 0) -> Ints:
    """A fold for each rating, int64 [n], 0 to below `count`: each user's ratings are dealt out at random, as evenly as
    they go, beginning at a random fold."""
    rng = np.random.default_rng(seed)
    found = np.empty(len(user), np.int64)
    order = np.argsort(user, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
        found[rng.permutation(rows)] = (np.arange(len(rows)) + rng.integers(count)) % count
    return found


def unit(rows: Floats) -> Floats:
    """Rows of length 1; rows of zeros stay."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(length > 0, length, 1.0), np.float32)


def attribute_rows(attributes: Sequence[Sequence[str]]) -> Floats:
    """Unit rows of attributes, each item's with equal weights."""
    numbers: dict[str, int] = {}
    pairs = [(item, numbers.setdefault(name, len(numbers))) for item, names in enumerate(attributes) for name in names]
    rows = np.zeros((len(attributes), len(numbers)), np.float32)
    for item, number in pairs:
        rows[item, number] = 1.0
    return unit(rows)
