"""Items that a new user may pick as likes: the best known ones. Pure."""

import numpy as np

from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.page.views import ItemView, item_view

MAX_PICKED = 10
"""Likes that a new user starts with, at most."""

POOL = 240


def picks(catalogue: Catalogue, graph: ItemGraph, now_ms: int, most: int = POOL) -> tuple[ItemView, ...]:
    """The most liked items of the catalogue that are published, best known first; new ones at the end."""
    published = catalogue.published()
    likes = graph.likes()[: len(published)].copy()
    likes[published > now_ms] = -1.0
    count = min(most, len(likes))
    if not count:
        return ()
    best = np.argpartition(-likes, count - 1)[:count]
    ordered = best[np.lexsort((best, -likes[best]))].tolist()
    return tuple(
        item_view(catalogue, catalogue.index[number])
        for number in ordered
        if catalogue.holds(number) and likes[number] >= 0
    )
