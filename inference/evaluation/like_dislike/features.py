"""Features of a rating that is asked for, from known ratings of the same user and of others.

All are of residuals, what is left of a rating after both biases, or of factorizations. Neighbourhoods are the item's
and the user's nearest by correlation, by co-occurrence, by words and by attributes, each shrunk. Features of time are
means of the user's residuals near the asked time: moods and sessions (Y. Koren, "Collaborative filtering with temporal
dynamics", KDD 2009). The asked time counts as known; the known ratings may be later than it.
"""

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.like_dislike.factorization import factorize, shrunk
from inference.evaluation.like_dislike.ratings import Floats, Ints, Ratings, Texts

KERNELS = {"second": 0.5, "minute": 60.0, "ten_minutes": 600.0, "day": 86_400.0}
"""Widths in seconds, by which the user's other ratings count less."""

TIMED = (*(f"{what}_{name}" for name in KERNELS for what in ("mood", "left", "many")), "place", "gap")
TEXT = ("words", "attributes")


def features(known: Ratings, asked: Ratings, texts: Texts) -> dict[str, Floats]:
    """Each float32 [asked]. The values of `asked` are not read. Takes some ten times users x items x 4 bytes."""
    user, item = asked.user, asked.item
    size = (known.users, known.items)
    biases = factorize(known.user, known.item, known.value, *size, rank=0, ridge=0.05)
    narrow = factorize(known.user, known.item, known.value, *size, rank=3, ridge=0.1)
    wide = factorize(known.user, known.item, known.value, *size, rank=10, ridge=0.1, seed=1)
    widest = factorize(known.user, known.item, known.value, *size, rank=20, ridge=0.12, seed=2)
    liked, disliked = (known.value > 0).astype(np.float32), (known.value < 0).astype(np.float32)
    left = known.value - biases.predict(known.user, known.item)
    by_user = np.bincount(known.user, minlength=known.users).astype(np.float32)
    by_item = np.bincount(known.item, minlength=known.items).astype(np.float32)
    found = {
        "item_mean": shrunk(_sums(known.item, known.value, known.items), by_item, float(known.value.mean()), 5.0)[item],
        "biases": biases.predict(user, item),
        "factors_3": narrow.predict(user, item),
        "factors_10": wide.predict(user, item),
        "factors_20": widest.predict(user, item),
        "user_bias": biases.users[user, 1],
        "item_bias": biases.items[item, 0],
        "user_count": np.log1p(by_user[user]),
        "item_count": np.log1p(by_item[item]),
        "user_scatter": np.sqrt(shrunk(_sums(known.user, left**2, known.users), by_user, 1.0, 10.0))[user],
        "item_scatter": np.sqrt(shrunk(_sums(known.item, left**2, known.items), by_item, 1.0, 10.0))[item],
    }
    for name, value in (("likes", liked), ("dislikes", disliked)):
        mean = float(value.mean())
        found[f"{name}_10"] = factorize(known.user, known.item, value, *size, rank=10, ridge=0.1).predict(user, item)
        found[f"user_{name}"] = shrunk(_sums(known.user, value, known.users), by_user, mean, 10.0)[user]
        found[f"item_{name}"] = shrunk(_sums(known.item, value, known.items), by_item, mean, 10.0)[item]
    found |= _neighbourhoods(known, left, user, item, texts)
    return found | _near(known, left, known.value - wide.predict(known.user, known.item), asked)


def _sums(numbers: Ints, values: Floats, count: int) -> Floats:
    return np.bincount(numbers, values, count).astype(np.float32)


def _neighbourhoods(known: Ratings, left: Floats, user: Ints, item: Ints, texts: Texts) -> dict[str, Floats]:
    residuals = np.zeros((known.users, known.items), np.float32)
    residuals[known.user, known.item] = left
    met = np.zeros_like(residuals)
    met[known.user, known.item] = 1.0
    found = {}
    nearest = _correlations(residuals.T, met.T)
    found["items"] = _mean(residuals, met, nearest, (user, item), 0.3)
    others = _correlations(residuals, met)
    found["users"] = _mean(residuals.T, met.T, others, (item, user), 0.3)
    together = met.T @ met
    root = np.sqrt(together.diagonal() + 5.0)
    together /= root[:, None] * root[None, :]
    np.fill_diagonal(together, 0.0)
    found["together"] = _mean(residuals, met, together, (user, item), 0.3)
    found["exposed"] = np.einsum("ij,ij->i", met[user], together[item]) / np.log1p(met.sum(axis=1)[user] + 1.0)
    for name, rows in (("words", texts.words), ("attributes", texts.attributes)):
        alike = np.maximum(rows @ rows.T, 0.0) ** 2
        np.fill_diagonal(alike, 0.0)
        found[name] = _mean(residuals, met, alike, (user, item), 1.0)
    return found


def _correlations(residuals: Floats, met: Floats) -> Floats:
    """Signed squares of the correlations of rows, shrunk where few are common."""
    common = met @ met.T
    squares = residuals**2
    scale = np.sqrt((squares @ met.T) * (met @ squares.T)) + 1e-6
    found = (residuals @ residuals.T) / scale * (common / (common + 25.0))
    np.fill_diagonal(found, 0.0)
    return np.asarray(np.sign(found) * found**2, np.float32)


def _mean(residuals: Floats, met: Floats, weights: Floats, asked: tuple[Ints, Ints], prior: float) -> Floats:
    """The weighted means of the residuals of asked rows, by the weights of asked columns, drawn to 0."""
    sums, sizes = residuals @ weights, met @ np.abs(weights)
    return np.asarray(sums[asked] / (sizes[asked] + prior), np.float32)


def _near(known: Ratings, left: Floats, deeper: Floats, asked: Ratings) -> dict[str, Floats]:
    """The means of two residuals of the user's known ratings near the asked time, their number, the asked rating's
    place among them, and the time to the nearest."""
    found = {name: np.zeros(len(asked), np.float32) for name in TIMED}
    rows, wanted = (
        np.split(np.argsort(one.user, kind="stable"), np.cumsum(np.bincount(one.user, minlength=known.users))[:-1])
        for one in (known, asked)
    )
    for of_user, places in zip(rows, wanted, strict=True):
        if not len(of_user) or not len(places):
            continue
        values = np.stack((left[of_user], deeper[of_user], np.ones(len(of_user), np.float32)), axis=1)
        apart = (asked.seconds[places, None] - known.seconds[None, of_user]).astype(np.float32)
        found["place"][places] = (apart > 0).mean(axis=1)
        apart = np.abs(apart)
        found["gap"][places] = np.log1p(apart.min(axis=1))
        for name, width in KERNELS.items():
            mood, deep, many = (_kernel(apart, width) @ values).T
            found[f"mood_{name}"][places] = mood / (many + 2.0)
            found[f"left_{name}"][places] = deep / (many + 2.0)
            found[f"many_{name}"][places] = np.log1p(many)
    return found


def _kernel(apart: Floats, width: float) -> NDArray[np.float32]:
    if width < 1.0:
        return np.asarray(apart <= width, np.float32)
    return np.asarray(np.exp(-np.minimum(apart / np.float32(width), np.float32(80.0))), np.float32)
