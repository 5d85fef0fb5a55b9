"""How strongly wishes count on one list: as much as it takes to double what is asked for, or to halve what is not.

Pure. A constant strength would fill one user's list with what they asked for and change nothing on another's. And a
wish may be a whim, so the rest of the list should stay what it was.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STEPS = tuple(float(step) for step in np.geomspace(0.05, 1.0, 16))
"""Shares of the full strength that are tried."""

MORE, LESS = 2.25, 0.4
"""A little more than double and half, since diversity then takes some of it back."""

REACH = 1.5
"""Diversity can lift candidates on the list from among the first `REACH` times its length."""

FEWEST = 2.0
"""Where nothing that is asked for was on the list, this many entries are."""


def strength(scores: Floats, wish: Floats, length: int) -> float:
    """The smallest of `STEPS` that changes the first `length` candidates enough, 1 if none does.

    `scores` are the candidates' without wishes, `wish` what wishes of full strength add to them, below 0 for what the
    user wants less of; both float32 [n]. Enough: of what is asked for there is `MORE` times as much as before, and at
    least `FEWEST` entries' worth, and of what is not, `LESS` of it at most, as far as there are candidates.
    """
    length = min(length, len(scores))
    if not length or not wish.any():
        return 1.0
    more, less = np.maximum(wish, 0.0), np.maximum(-wish, 0.0)
    best = more.max(initial=0.0)
    first = _first(scores, length)
    most = float(np.partition(more, len(more) - length)[len(more) - length :].sum())
    wanted = min(max(MORE * float(more[first].sum()), FEWEST * float(best)), most)
    allowed = LESS * float(less[first].sum())
    near = min(int(REACH * length), len(scores))
    for step in STEPS:
        changed = scores + np.float32(step) * wish
        first = _first(changed, length)
        if more[first].sum() >= wanted - 1e-6 and less[_first(changed, near)].sum() <= allowed + 1e-6:
            return step
    return 1.0


def _first(scores: Floats, length: int) -> NDArray[np.int64]:
    return np.asarray(np.argpartition(-scores, length - 1)[:length], np.int64)
