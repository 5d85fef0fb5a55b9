"""Logistic regression with a ridge, by Newton's method, over standardized features and products of some of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.evaluation.like_dislike.ratings import Floats

STEPS = 10
CLOSE = 1e-3
"""A step that changes no weight by more is the last."""

FARTHEST = 4.0
"""Standardized features are cut here."""


@dataclass(frozen=True)
class Inputs:
    """Features by name, standardized as those that were learned from; `multiplied` are multiplied by each other."""

    means: Floats
    scales: Floats
    names: tuple[str, ...]
    multiplied: tuple[str, ...]

    @classmethod
    def of(cls, features: Mapping[str, Floats], names: Sequence[str], multiplied: Sequence[str]) -> "Inputs":
        columns = _columns(features, names)
        return cls(columns.mean(axis=0), columns.std(axis=0) + np.float32(1e-6), tuple(names), tuple(multiplied))

    def rows(self, features: Mapping[str, Floats]) -> Floats:
        """float32 [n, k]: 1, the features, and their products."""
        scaled = ((_columns(features, self.names) - self.means) / self.scales).clip(-FARTHEST, FARTHEST)
        some = scaled[:, [self.names.index(name) for name in self.multiplied]]
        one, other = np.triu_indices(len(self.multiplied))
        return np.concatenate((np.ones((len(scaled), 1), np.float32), scaled, some[:, one] * some[:, other]), axis=1)


def fit(rows: Floats, liked: Floats, ridge: float, start: Floats | None = None) -> Floats:
    """Weights float32 [k] for `rows` [n, k] and `liked` [n], 0 or 1, searched from `start`."""
    weights = np.zeros(rows.shape[1], np.float32) if start is None else start
    for _ in range(STEPS):
        chance = probabilities(rows, weights)
        slope = rows.T @ (chance - liked) + ridge * weights
        curve = (rows * (chance * (1.0 - chance))[:, None]).T @ rows + ridge * np.eye(len(weights), dtype=np.float32)
        step = np.linalg.solve(curve, slope)
        weights = np.asarray(weights - step, np.float32)
        if np.abs(step).max() < CLOSE:
            break
    return weights


def probabilities(rows: Floats, weights: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30.0, 30.0))), np.float32)


def loss(chance: Floats, liked: Floats) -> float:
    """The mean logarithmic loss, in nats."""
    chance = chance.astype(np.float64).clip(1e-6, 1 - 1e-6)
    return float(-np.where(liked > 0, np.log(chance), np.log1p(-chance)).mean())


def _columns(features: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    return np.stack([features[name] for name in names], axis=1).astype(np.float32)
