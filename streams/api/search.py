"""`GET /v1/search`: the items that match some words, by pages, in the order in which a user would get them."""

from collections.abc import Callable

from aiohttp import web

from schemas.http.items import SearchQuery, SearchResult, SearchResults
from streams.api.answers import in_json
from streams.api.ownership import Ownership
from streams.api.problems import Kind, Problem
from streams.api.requests import of_query
from streams.items.catalogue import Catalogue
from streams.serving.one_off import Basis, OneOffLists
from streams.serving.searching import Search, TooManySearches


class SearchOverHttp:
    """`lists` returns what ranks for a user, None while the worker starts; `is_read` says whether the worker has read
    the whole catalogue."""

    def __init__(
        self,
        *,
        search: Search,
        catalogue: Catalogue,
        lists: Callable[[], OneOffLists | None],
        ownership: Ownership,
        is_read: Callable[[], bool],
    ) -> None:
        self._search = search
        self._catalogue = catalogue
        self._lists = lists
        self._ownership = ownership
        self._is_read = is_read

    async def get(self, request: web.Request) -> web.StreamResponse:
        asked = of_query(request, SearchQuery)
        subject = None if asked.user is None else self._ownership.subject(asked.user)
        lists = self._lists()
        if lists is None:
            raise Problem(Kind.STARTING, "The worker starts. Try again in a few seconds.")
        basis = lists.basis(()) if subject is None else Basis(subject.context(), subject.marking)
        try:
            found = await self._search.find(asked.q, basis, "default", lists, first=asked.offset, most=asked.limit)
        except TooManySearches:
            raise Problem(Kind.RATE, "There are many searches at this moment. Try again in a second.") from None
        after = asked.offset + asked.limit
        results = [(each, item) for each in found.some if (item := self._catalogue.get(each.item)) is not None]
        return in_json(
            SearchResults(
                matched=found.matched,
                ranked=found.ranked,
                whole=found.whole and self._is_read(),
                results=tuple(
                    SearchResult(
                        item=each.item,
                        title=item.title,
                        attributes=item.attributes,
                        score=each.score,
                        seen=each.seen,
                        in_title=each.in_title,
                    )
                    for each, item in results
                ),
                next=after if after < found.ranked else None,
            )
        )
