"""Standardizes signals within the candidates of one list."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CLIP = 8.0
"""A signal counts at most this many standard deviations."""


def standardize(matrix: NDArray[np.float64], fixed: Sequence[bool] = ()) -> Floats:
    """Each column with mean 0 and deviation 1, clipped to CLIP; a column without spread becomes 0. `fixed` columns stay
    as they are."""
    if not len(matrix):
        return matrix.astype(np.float32)
    spread = matrix.std(axis=0)
    flat = spread <= 1e-9 * np.maximum(1.0, np.abs(matrix).max(axis=0))
    scaled = (matrix - matrix.mean(axis=0)) / np.where(flat, 1.0, spread)
    found = np.where(flat, 0.0, scaled).clip(-CLIP, CLIP).astype(np.float32)
    for column in np.flatnonzero(fixed):
        found[:, column] = matrix[:, column]
    return found
