"""Search over HTTP: the items that match a visitor's words, in the order of their scores for the user whom the page
shows."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.items.search import MAX_QUERY
from streams.page.requests import GUEST, Refused, Route, in_json
from streams.page.views import ItemView, View, item_view
from streams.serving.one_off import Basis, OneOffLists
from streams.serving.searching import Search, TooManySearches
from streams.web.rate import Buckets

MAX_RESULTS = 20

SEARCHES_PER_SECOND = 10.0
"""Of one page."""


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
        search: Search,
        catalogue: Catalogue,
        lists: Callable[[], OneOffLists | None],
        whose: Callable[[str, str | None], Whose | None],
        clock: Clock,
    ) -> None:
        self._search = search
        self._catalogue = catalogue
        self._lists = lists
        self._whose = whose
        self._clock = clock
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
        if not self._own.take(whose.name, self._clock.monotonic()):
            raise _too_many()
        try:
            found = await self._search.find(text, whose.basis, whose.scene, lists, most=MAX_RESULTS)
        except TooManySearches:
            raise _too_many() from None
        return in_json(
            ResultsView(
                matched=found.matched,
                ranked=found.ranked,
                whole=found.whole,
                results=tuple(
                    ResultView(
                        item=item_view(self._catalogue, each.item),
                        score=each.score,
                        seen=each.seen,
                        in_title=each.in_title,
                    )
                    for each in found.some
                ),
            )
        )


def _too_many() -> Refused:
    return Refused(429, "There are many searches at this moment. Try again in a second.", "rate")
