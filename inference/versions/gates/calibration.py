"""Calibration: of the items that the challenger puts on top, as many are liked next as it predicts. Pure.

The expected calibration error has bins of equal size (`inference.training.calibration`). Even a calibrated version has
some, by chance. That part is simulated, by drawing outcomes with the predicted probabilities, and does not count:
consistency resampling (J. Bröcker and L. Smith, "Increasing the reliability of reliability diagrams", Weather and
Forecasting 2007).
"""

from typing import NamedTuple

import numpy as np

from inference.evaluation.resampling import Ends, of_sums
from inference.training.calibration import BINS, expected_error
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Bools, Floats, Ints, Trial
from inference.versions.store import Gate

NAME = "calibration error"


class Bin(NamedTuple):
    """`size` items: the mean prediction, the share taken, and the bounds of that share if predictions were right."""

    predicted: float
    taken: float
    low: float
    high: float
    size: int


def calibration(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> Gate:
    """Fails if the error exceeds the threshold plus the mean error of a calibrated version, or nothing was shown."""
    predicted, taken = trial.challenger.predicted, trial.challenger.taken
    limit = thresholds.calibration_error
    if not _sane(predicted):
        text = "Some probabilities are not between 0 and 1." if len(predicted) else "It put no item on top."
        return Gate(name=NAME, figure=1.0, threshold=limit, passed=False, text=f"{text} Check the adapter's heads.")
    error = expected_error(predicted, taken)
    by_chance = chance_error(predicted, rng)
    low, high = _bounds(predicted, taken, trial.challenger.shown_to, rng)
    passed = error <= limit + by_chance
    said = (
        f"Expected calibration error on {len(taken):,} items on top, {int(taken.sum()):,} of them liked next; "
        f"predicted {predicted.mean():.4f}, liked {taken.mean():.4f}; {by_chance:.4f} if calibrated, by chance"
    )
    return Gate(
        name=NAME,
        figure=error,
        low=low,
        high=high,
        threshold=limit + by_chance,
        passed=passed,
        text=f"{said}." if passed else f"{said}. Calibrate it again, on newer likes.",
    )


def chance_error(predicted: Floats, rng: np.random.Generator, draws: int = 100) -> float:
    """The mean error of a version whose predictions are right, on this many items."""
    distances = 0.0
    for rows in _equal_bins(predicted):
        sums = (rng.random((draws, len(rows))) < predicted[rows]).sum(1)
        distances += float(np.abs(sums - predicted[rows].sum()).mean())
    return distances / max(1, len(predicted))


def bins(predicted: Floats, taken: Bools, rng: np.random.Generator, draws: int = 1_000) -> list[Bin]:
    """The bins of a reliability diagram, ascending; empty without finite predictions."""
    if not _sane(predicted):
        return []
    found = []
    for rows in _equal_bins(predicted):
        right = (rng.random((draws, len(rows))) < predicted[rows]).mean(1)
        low, high = np.quantile(right, (0.025, 0.975))
        found.append(Bin(float(predicted[rows].mean()), float(taken[rows].mean()), float(low), float(high), len(rows)))
    return found


def _bounds(predicted: Floats, taken: Bools, users: Ints, rng: np.random.Generator) -> Ends:
    """The interval of the error, with the bins of all items."""
    columns = np.zeros((len(predicted), BINS + 1))
    columns[:, BINS] = 1.0
    for place, rows in enumerate(_equal_bins(predicted)):
        columns[rows, place] = predicted[rows] - taken[rows]

    def error(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums[:, :BINS]).sum(1) / sums[:, BINS], np.float64)

    return of_sums(columns, users, error, rng)


def _equal_bins(predicted: Floats) -> list[Ints]:
    """The rows of each bin that has some, by ascending prediction."""
    return [rows for rows in np.array_split(np.argsort(predicted, kind="stable"), BINS) if len(rows)]


def _sane(predicted: Floats) -> bool:
    return bool(len(predicted) and ((predicted >= 0) & (predicted <= 1)).all())
