"""Calibration: turn a scorer's logits into the log-odds that a listed item is taken. Pure.

Platt scaling (J. Platt, "Probabilistic outputs for support vector machines", 1999), with his smoothed targets; isotonic
regression (pool adjacent violators) shows how much error a straight line leaves.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ENOUGH = 1_000
"""Minimum positives for isotonic regression."""

BINS = 10
_STEPS = 50
_HOLD = 1e-6


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """`slope` and `offset` turn logits into log-odds. `before`, `after` and `isotonic` are expected calibration errors.
    `after` and `isotonic` (None with few positives) are fitted on half of the users and measured on the other half."""

    slope: float
    offset: float
    shown: int
    taken: int
    before: float
    after: float
    isotonic: float | None = None


def calibrate(scores: Floats, taken: Bools, fold: Bools) -> Calibration | None:
    """Fit a calibration to n logits of shown items, whether each was taken, and the half that each belongs to.

    Returns None if there is nothing to fit: all or none were taken, or the odds do not rise with the scores.
    """
    if not 0 < taken.sum() < len(taken):
        return None
    slope, offset = platt(scores, taken)
    if slope <= 0:
        return None
    many = int(taken.sum()) >= ENOUGH
    crossed, stepped = np.zeros(len(scores)), np.zeros(len(scores))
    for half in (fold, ~fold):
        if not half.any():
            continue
        if 0 < taken[~half].sum() < (~half).sum():
            one, other = platt(scores[~half], taken[~half])
        else:
            one, other = slope, offset
        crossed[half] = sigmoid(one * scores[half] + other)
        if many:
            stepped[half] = np.interp(scores[half], *isotonic(scores[~half], taken[~half]))
    return Calibration(
        slope=slope,
        offset=offset,
        shown=len(scores),
        taken=int(taken.sum()),
        before=expected_error(sigmoid(scores), taken),
        after=expected_error(crossed, taken),
        isotonic=expected_error(stepped, taken) if many else None,
    )


def platt(scores: Floats, taken: Bools) -> tuple[float, float]:
    """Maximum-likelihood slope and offset of sigmoid(slope * score + offset), by Newton's method on scaled scores."""
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = np.stack(((scores - centre) / spread, np.ones(len(scores))), axis=1)
    positives = int(taken.sum())
    target = np.where(taken, (positives + 1) / (positives + 2), 1 / (len(taken) - positives + 2))
    found = np.array([0.0, np.log((positives + 1) / (len(taken) - positives + 1))])

    def loss(w: Floats) -> float:
        z = x @ w
        return float((np.logaddexp(0.0, z) - target * z).sum() + 0.5 * _HOLD * (w @ w))

    for _ in range(_STEPS):
        p = sigmoid(x @ found)
        gradient = x.T @ (p - target) + _HOLD * found
        curve = (x * (p * (1 - p))[:, None]).T @ x + _HOLD * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        size = 1.0
        while loss(found - size * step) > loss(found) and size > 1e-4:
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(found[0] / spread), float(found[1] - found[0] * centre / spread)


def isotonic(scores: Floats, taken: Bools) -> tuple[Floats, Floats]:
    """Ascending scores and the non-decreasing share taken at each, as arguments for `np.interp`."""
    order = np.argsort(scores, kind="stable")
    sums: list[float] = []
    counts: list[int] = []
    for value in taken[order].tolist():
        sums.append(float(value))
        counts.append(1)
        while len(sums) > 1 and sums[-2] * counts[-1] >= sums[-1] * counts[-2]:
            top, more = sums.pop(), counts.pop()
            sums[-1] += top
            counts[-1] += more
    return scores[order].astype(np.float64), np.repeat(np.divide(sums, counts), counts)


def expected_error(probabilities: Floats, taken: Bools) -> float:
    """The expected calibration error: the mean distance between predicted and observed rates over `BINS` bins of equal
    size."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    distances = [abs(probabilities[part].mean() - taken[part].mean()) * len(part) for part in parts]
    return float(sum(distances) / max(1, len(order)))


def sigmoid(x: NDArray[Any]) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, np.float64))), np.float64)
