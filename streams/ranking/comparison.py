"""What a list is compared with: the list without the model, and the popular items. Pure.

Both are only counted, so they are made for a sample of the lists, and the others do not pay for them. The sample
follows from the list's id, which a digest of the trigger makes: whether a list is drawn has nothing to do with its
user, its items or the model, so hit ratios over the sample are unbiased. A list that is made again is drawn again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.recommendations import Entry
from streams.candidates.moment import Moment, top
from streams.ranking.shortlist import best_first


class Compared(NamedTuple):
    """The first items of a list, of the list that it would be without the model, and of the popular ones."""

    items: tuple[str, ...]
    without_model: tuple[str, ...]
    popular: tuple[str, ...]


def is_drawn(list_id: str, one_in: int) -> bool:
    """Whether the list of this id, a hexadecimal digest, is in a sample of one list in `one_in`."""
    return int(list_id[:8], 16) % one_in == 0


def first_items(entries: Sequence[Entry], count: int) -> tuple[str, ...]:
    """The items of the first entries, `count` at most."""
    return tuple(entry.item for entry in entries[:count])


def popular(moment: Moment, count: int) -> tuple[str, ...]:
    """The most liked items that may be shown to the user now: what a list has to beat."""
    catalogue, size = moment.catalogue, len(moment.allowed)
    likes, marks = moment.graph.likes()[:size], catalogue.marks()[:size]
    best = top(likes, moment.allowed, count, marks)
    ordered = best[best_first(likes[best], marks[best])].astype(np.int64)
    return tuple(catalogue.index[number] for number in ordered.tolist() if catalogue.holds(number))
