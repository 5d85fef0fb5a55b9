"""Search over HTTP: the items that match a visitor's words, in the order of their scores for the user whom the page
shows."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from aiohttp import web

from streams.clock import Clock
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.search import MAX_QUERY, Found, SearchIndex, foremost, query
from streams.page.requests import GUEST, Refused, Route, in_json
from streams.page.views import ItemView, View, item_view
from streams.serving.one_off import Basis, OneOffLists
from streams.web.rate import Buckets

MAX_RANKED = 500
"""Matches that are ranked for the user: those with a matching title, then the most liked."""

MAX_RESULTS = 20

SEARCHES_PER_SECOND = 10.0
"""Of one page."""

SHARE = 0.2
BURST_SECONDS = 0.5
"""Searches of all pages may take this share of the worker's time, and at most this much of it ahead."""


class Whose(NamedTuple):
    """For whom results are ranked: a context, in a scene. `name` is one under which searches are limited."""

    name: str
    basis: Basis
    scene: str


class ResultView(View, frozen=True, kw_only=True):
    """An item that matches. `seen`: whether the user has met it. `score` compares it with the other results."""

    item: ItemView
    score: float
    seen: bool
    in_title: bool


class ResultsView(View, frozen=True, kw_only=True):
    """`matched` items match, of which `ranked` were ranked. `whole` is false if more may match."""

    matched: int
    ranked: int
    whole: bool
    results: tuple[ResultView, ...]


class Searching:
    """The route of searches. `whose` finds the user whom a request is for: by the key that it sends, or the id that it
    names; None if the worker does not know them."""

    def __init__(
        self,
        *,
        index: SearchIndex,
        catalogue: Catalogue,
        graph: ItemGraph,
        lists: Callable[[], OneOffLists | None],
        whose: Callable[[str, str | None], Whose | None],
        clock: Clock,
    ) -> None:
        self._index = index
        self._catalogue = catalogue
        self._graph = graph
        self._lists = lists
        self._whose = whose
        self._clock = clock
        self._spent, self._spent_at = 0.0, 0.0
        self._own = Buckets(SEARCHES_PER_SECOND, 1_024)

    @property
    def routes(self) -> tuple[Route, ...]:
        return (("GET", "/page/api/search", self._answer),)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("q", "")
        if not 0 < len(text) <= MAX_QUERY:
            raise Refused(422, f"A search has 1 to {MAX_QUERY} characters.")
        key = request.headers.get(GUEST, "")
        whose, lists = self._whose(key, request.query.get("user")), self._lists()
        if whose is None or lists is None:
            raise Refused(410 if key else 422, "The worker does not know whom this search is for: start again.")
        now = self._clock.monotonic()
        if not self._own.take(whose.name, now) or not self._affordable(now):
            raise Refused(429, "There are many searches at this moment. Try again in a second.", "rate")
        try:
            return in_json(await self._results(text, whose, lists))
        finally:
            self._spent += self._clock.monotonic() - now

    def _affordable(self, now: float) -> bool:
        """Whether searches have left the worker enough time: ranking one looks at every item."""
        self._spent = max(0.0, self._spent - SHARE * (now - self._spent_at))
        self._spent_at = now
        return self._spent < BURST_SECONDS

    async def _results(self, text: str, whose: Whose, lists: OneOffLists) -> ResultsView:
        found = self._shown(self._index.find(query(text)))
        some = foremost(found, MAX_RANKED, self._graph.likes())
        if not len(some.numbers):
            return ResultsView(matched=0, ranked=0, whole=found.whole, results=())
        ranked = await lists.order(some.numbers, whose.basis, whose.scene)
        order = np.lexsort((ranked.marks, -ranked.scores, ~some.in_title))[:MAX_RESULTS]
        met = ranked.prepared.met[some.numbers]
        return ResultsView(
            matched=len(found.numbers),
            ranked=len(some.numbers),
            whole=found.whole,
            results=tuple(
                ResultView(
                    item=item_view(self._catalogue, self._catalogue.index[int(some.numbers[at])]),
                    score=float(ranked.scores[at]),
                    seen=bool(met[at]),
                    in_title=bool(some.in_title[at]),
                )
                for at in order.tolist()
            ),
        )

    def _shown(self, found: Found) -> Found:
        """Without what is not published yet."""
        out = self._catalogue.published()[found.numbers] <= self._clock.now_ms()
        return Found(found.numbers[out], found.in_title[out], found.whole)
