"""The rankings that are compared: the list, the list without the model, and the popular items, all without exploration.
Pure.

They are only counted, so they are made for a sample, and the other lists do not pay for them. A like is judged by all
open lists of its user, so the sample consists of users, drawn every day by a digest: the draw is independent of what
users do, their items and the model, so hit ratios over the sample are unbiased.
"""

from typing import NamedTuple

import numpy as np

from schemas.seen import DAY_MS
from streams.candidates.moment import Moment, top
from streams.fold.context import digest
from streams.ranking.shortlist import best_first


class Compared(NamedTuple):
    """The first items of the list, of the list without the model, and of the popular items; none explores."""

    listed: tuple[str, ...]
    without_model: tuple[str, ...]
    popular: tuple[str, ...]


def is_drawn(user: str, now_ms: int, one_in: int) -> bool:
    """Whether a user is in the sample of one user in `one_in` on the day of `now_ms`."""
    return digest(f"{now_ms // DAY_MS} {user}") % one_in == 0


def popular(moment: Moment, count: int) -> tuple[str, ...]:
    """The most liked items that may be shown to the user now: the baseline that a list has to beat."""
    catalogue, size = moment.catalogue, len(moment.allowed)
    likes, marks = moment.graph.likes()[:size], catalogue.marks()[:size]
    best = top(likes, moment.allowed, count, marks)
    ordered = best[best_first(likes[best], marks[best])].astype(np.int64)
    return tuple(catalogue.index[number] for number in ordered.tolist() if catalogue.holds(number))
