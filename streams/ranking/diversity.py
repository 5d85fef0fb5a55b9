"""Maximal marginal relevance: each place goes to the best candidate that is not too similar to those above it.

J. Carbonell and J. Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998. Here relevance is the blended
score, and similarity the cosine of the items' text vectors, at least 0.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def diversify(scores: Floats, vectors: Floats, count: int, strength: float) -> tuple[Ints, Floats]:
    """Choose `count` of n candidates: their places in order, and the score of each when it was chosen.

    `scores` is float32 [n], `vectors` unit rows [n, d]. `strength` is how much score an identical item above costs;
    at 0 the order is by score. The chosen scores never increase. Ties go to the candidate that comes first.
    """
    count = min(count, len(scores))
    if strength <= 0:
        order = np.argsort(-scores, kind="stable")[:count]
        return order, scores[order]
    likest = np.zeros(len(scores), np.float32)
    left = scores.astype(np.float32).copy()
    chosen, values = np.empty(count, np.int64), np.empty(count, np.float32)
    for place in range(count):
        marginal = left - strength * likest
        best = int(np.argmax(marginal))
        chosen[place], values[place] = best, marginal[best]
        left[best] = -np.inf
        likest = np.maximum(likest, vectors @ vectors[best])
    return chosen, values
