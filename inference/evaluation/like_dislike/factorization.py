"""Matrix factorization with biases, by alternating least squares.

Y. Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize", AAIM 2008: regularization grows
with the number of ratings. Biases are columns whose counterpart is 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.like_dislike.ratings import Floats, Ints

SWEEPS = 8
FEW = 5
"""Users and items with fewer ratings are regularized as with this number."""


@dataclass(frozen=True)
class Factors:
    """`users` float32 [users, rank + 2] and `items` float32 [items, rank + 2]: columns 0 and 1 are the item's and the
    user's bias and its 1."""

    mean: float
    users: Floats
    items: Floats

    def predict(self, user: Ints, item: Ints) -> Floats:
        return np.asarray(self.mean + np.einsum("ij,ij->i", self.users[user], self.items[item]), np.float32)


def factorize(
    user: Ints, item: Ints, value: Floats, users: int, items: int, *, rank: int, ridge: float, seed: int = 0
) -> Factors:
    """Fit `value` [n]; of rank 0 there are only the biases."""
    rng = np.random.default_rng(seed)
    mean = float(value.mean())
    of_users, of_items = (rng.normal(0, 0.1, (count, rank + 2)).astype(np.float32) for count in (users, items))
    of_users[:, :2], of_items[:, :2] = (1.0, 0.0), (0.0, 1.0)
    rest = np.asarray(value - mean, np.float32)
    by_user, by_item = (_rows(user, users), item, rest), (_rows(item, items), user, rest)
    for _ in range(SWEEPS):
        _solve(of_users, of_items, by_user, 0, ridge)
        _solve(of_items, of_users, by_item, 1, ridge)
    return Factors(mean, of_users, of_items)


_Seen = tuple[list[Ints], Ints, Floats]
"""The ratings of each user (or item), the items (or users) of all ratings, and their values."""


def _rows(numbers: Ints, count: int) -> list[Ints]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers, minlength=count))[:-1])


def _solve(own: Floats, other: Floats, seen_by: _Seen, fixed: int, ridge: float) -> None:
    """Set all columns of `own` but the fixed one."""
    rows, index, rest = seen_by
    free = [column for column in range(own.shape[1]) if column != fixed]
    width = len(free)
    squares = np.empty((len(rows), width, width), np.float32)
    sums = np.empty((len(rows), width), np.float32)
    for number, which in enumerate(rows):
        seen = other[index[which]]
        inputs = seen[:, free]
        squares[number] = inputs.T @ inputs
        sums[number] = (rest[which] - seen[:, fixed]) @ inputs
    counts = np.array([max(FEW, len(which)) for which in rows], np.float32)
    squares += ridge * counts[:, None, None] * np.eye(width, dtype=np.float32)
    own[:, free] = np.linalg.solve(squares, sums[:, :, None])[:, :, 0]


def shrunk(sums: NDArray[np.floating], counts: NDArray[np.floating], prior: float, weight: float) -> Floats:
    """Means of sums over counts, drawn to `prior` by `weight` ratings."""
    return np.asarray((sums + weight * prior) / (counts + weight), np.float32)
