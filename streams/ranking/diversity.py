"""Maximal marginal relevance: each place goes to the best candidate that is not too similar to those above it.

J. Carbonell and J. Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998. Here relevance is the blended
score, and similarity the cosine of the items' text vectors, at least 0.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Marginals:
    """The marginal scores of n candidates, given those that were taken so far.

    `scores` is float32 [n], `vectors` unit rows [n, d]. `strength` is how much score an identical item above costs; at
    0 the marginal scores are the scores.
    """

    def __init__(self, scores: Floats, vectors: Floats, strength: float) -> None:
        self.values = scores.astype(np.float32)
        """The marginal score of each candidate for the next place, float32 [n]; -inf for those taken."""
        self._left = self.values.copy()
        self._vectors = vectors
        self._strength = strength
        self._likest = np.zeros(len(scores), np.float32)

    def take(self, candidate: int) -> float:
        """Give the next place to a candidate; returns its marginal score."""
        value = float(self.values[candidate])
        self._left[candidate] = -np.inf
        if self._strength > 0:
            self._likest = np.maximum(self._likest, self._vectors @ self._vectors[candidate])
            self.values = self._left - self._strength * self._likest
        else:
            self.values = self._left
        return value


def diversify(scores: Floats, vectors: Floats, count: int, strength: float) -> tuple[Ints, Floats]:
    """Choose `count` of n candidates: their places in order, and the score of each when it was chosen.

    The arguments are those of `Marginals`. The chosen scores never increase. Ties go to the candidate that comes first.
    """
    count = min(count, len(scores))
    marginals = Marginals(scores, vectors, strength)
    chosen, values = np.empty(count, np.int64), np.empty(count, np.float32)
    for place in range(count):
        chosen[place] = best = int(np.argmax(marginals.values))
        values[place] = marginals.take(best)
    return chosen, values
