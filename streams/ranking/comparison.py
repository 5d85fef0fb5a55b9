"""The rankings that are compared: the list, the list without the model, the popular items, and item-kNN, all without
exploration. Pure.

They are only counted, so they are made for a sample, and the other lists do not pay for them. A like is judged by all
open lists of its user, so the sample consists of users, drawn every day by a digest: the draw is independent of what
users do, their items and the model, so hit ratios over the sample are unbiased.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.seen import DAY_MS
from streams.candidates.moment import Moment, reach, top
from streams.fold.context import digest
from streams.graph.pairs import KERNELS
from streams.ranking.shortlist import best_first

NEIGHBOURS_OF = 10
"""Likes that item-kNN reads, the last ones."""

MET_WIDE = [kernel.name for kernel in KERNELS].index("met_wide")
"""The kernel nearest to a plain count of the users who met two items."""

FEWER_THAN_A_PAIR = 1e-9


class Compared(NamedTuple):
    """The first items of the list, of the list without the model, of the popular items, and of item-kNN; none
    explores."""

    listed: tuple[str, ...]
    without_model: tuple[str, ...]
    popular: tuple[str, ...]
    item_knn: tuple[str, ...]


def is_drawn(user: str, now_ms: int, one_in: int) -> bool:
    """Whether a user is in the sample of one user in `one_in` on the day of `now_ms`."""
    return digest(f"{now_ms // DAY_MS} {user}") % one_in == 0


def popular(moment: Moment, count: int) -> tuple[str, ...]:
    """The most liked items that may be shown to the user now: the baseline that a list has to beat."""
    return _first(moment, moment.graph.likes()[: len(moment.allowed)], count)


def item_knn(moment: Moment, count: int) -> tuple[str, ...]:
    """The items with the highest sum of shrunk cosines of co-visits with the user's last `NEIGHBOURS_OF` likes, from
    the pairs that the list was made from; items without a pair follow by their events.

    The item-based method of Sarwar et al. (WWW 2001), as `ItemKnn` of `ouzel evaluate`, but from the counts of the item
    graph: pairs are bounded for each item, decay with time, and count 2% less for each event in between; the cosine is
    w / (sqrt(n_i n_j) + 15) instead of + 20.
    """
    pairs, size = moment.once(reach), len(moment.allowed)
    near = np.isin(pairs.rows, moment.known.likes[:NEIGHBOURS_OF])[pairs.of]
    scores = np.bincount(pairs.other[near], pairs.strength[near, MET_WIDE], minlength=size)[:size]
    return _first(moment, scores + FEWER_THAN_A_PAIR * moment.graph.events()[:size], count)


def _first(moment: Moment, scores: NDArray[np.float64], count: int) -> tuple[str, ...]:
    """The items with the best scores that may be shown to the user now; `scores` is [n] by item number."""
    catalogue = moment.catalogue
    marks = catalogue.marks()[: len(scores)]
    best = top(scores, moment.allowed, count, marks)
    ordered = best[best_first(scores[best], marks[best])].astype(np.int64)
    return tuple(catalogue.index[number] for number in ordered.tolist() if catalogue.holds(number))
