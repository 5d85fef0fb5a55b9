"""Searching the catalogue for a user: the items that match some words, in the order of their scores for the user."""

from typing import NamedTuple

import numpy as np

from streams.clock import Clock
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.search import Found, SearchIndex, foremost, query
from streams.serving.one_off import Basis, OneOffLists

MAX_RANKED = 500
"""Matches that are ranked for the user: those with a matching title, then the most liked."""

SHARE = 0.2
BURST_SECONDS = 0.5
"""All searches may take this share of the worker's time, and at most this much of it ahead."""


class TooManySearches(Exception):
    """Searches have taken their share of the worker's time."""


class Match(NamedTuple):
    """An item that matches. `seen`: whether the user has met it. `score` compares it with the other matches."""

    item: str
    score: float
    seen: bool
    in_title: bool


class Matches(NamedTuple):
    """`matched` items match, of which `ranked` were ranked; `some` of those, best first. `whole` is false if more may
    match."""

    matched: int
    ranked: int
    whole: bool
    some: tuple[Match, ...]


class Search:
    """Searches by `index`, that of the catalogue."""

    def __init__(self, index: SearchIndex, catalogue: Catalogue, graph: ItemGraph, clock: Clock) -> None:
        self._index = index
        self._catalogue = catalogue
        self._graph = graph
        self._clock = clock
        self._spent, self._spent_at = 0.0, 0.0

    async def find(
        self, text: str, basis: Basis, scene: str, lists: OneOffLists, *, first: int = 0, most: int
    ) -> Matches:
        """The matches from place `first` on, at most `most`. Raises `TooManySearches`."""
        began = self._clock.monotonic()
        if not self._affordable(began):
            raise TooManySearches
        try:
            return await self._find(text, basis, scene, lists, slice(first, first + most))
        finally:
            self._spent += self._clock.monotonic() - began

    def _affordable(self, now: float) -> bool:
        """Whether searches have left the worker enough time: ranking one looks at every item."""
        self._spent = max(0.0, self._spent - SHARE * (now - self._spent_at))
        self._spent_at = now
        return self._spent < BURST_SECONDS

    async def _find(self, text: str, basis: Basis, scene: str, lists: OneOffLists, part: slice) -> Matches:
        found = self._published(self._index.find(query(text)))
        some = foremost(found, MAX_RANKED, self._graph.likes())
        if not len(some.numbers):
            return Matches(0, 0, found.whole, ())
        ranked = await lists.order(some.numbers, basis, scene)
        order = np.lexsort((ranked.marks, -ranked.scores, ~some.in_title))[part]
        met = ranked.prepared.met[some.numbers]
        return Matches(
            len(found.numbers),
            len(some.numbers),
            found.whole,
            tuple(
                Match(
                    self._catalogue.index[int(some.numbers[at])],
                    float(ranked.scores[at]),
                    bool(met[at]),
                    bool(some.in_title[at]),
                )
                for at in order.tolist()
            ),
        )

    def _published(self, found: Found) -> Found:
        """Without what is not published yet."""
        out = self._catalogue.published()[found.numbers] <= self._clock.now_ms()
        return Found(found.numbers[out], found.in_title[out], found.whole)
