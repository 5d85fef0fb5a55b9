"""Why an entry is on a list, over HTTP: the event that caused it, in a sentence in the reader's language."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from schemas.recommendations import Recommendation
from streams.clock import Clock
from streams.page.requests import GUEST, Refused, Route, in_json
from streams.page.views import Name, why_view
from streams.serving.explaining import Explaining, NotExplained, Subject
from streams.web.rate import Bucket
from streams.wording.language import preferred

WHYS_PER_SECOND = 10.0
"""Questions of all pages."""

MAX_LANGUAGES = 200
"""Characters of the languages that a reader prefers."""


class Shown(NamedTuple):
    """The list that a page shows, and whose it is; `done` is awaited once it is explained."""

    made: Recommendation
    subject: Subject
    done: Callable[[], Awaitable[object]] | None = None


class Why:
    """The route. `shown` finds what a page shows, by a visitor's key or the user whom the page names; None if the
    worker does not know it. `explaining` returns what explains lists, None while the worker starts."""

    def __init__(
        self,
        *,
        shown: Callable[[str, str | None], Shown | None],
        explaining: Callable[[], Explaining | None],
        name: Name,
        clock: Clock,
    ) -> None:
        self._shown = shown
        self._explaining = explaining
        self._name = name
        self._clock = clock
        self._asked = Bucket(WHYS_PER_SECOND)

    @property
    def routes(self) -> tuple[Route, ...]:
        return (("GET", "/page/api/why", self._answer),)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.query
        shown, explaining = self._shown(request.headers.get(GUEST, ""), asked.get("user")), self._explaining()
        if shown is None or explaining is None or shown.made.id != asked.get("list"):
            raise Refused(
                409, "A newer list is out, or another worker makes this user's lists: ask about the next list."
            )
        if not self._asked.take(self._clock.monotonic()):
            raise Refused(429, "Many visitors ask at this moment. Try again in a second.", "rate")
        try:
            explained = await explaining.explain(shown.made, shown.subject)
        except NotExplained as why:
            raise Refused(409, str(why)) from None
        finally:
            if shown.done is not None:
                await shown.done()
        row = explained.rows.get(asked.get("item", ""))
        if row is None:
            raise Refused(409, "That entry would not be on the list any more: ask about the next list.")
        language = preferred(asked.get("languages", "")[:MAX_LANGUAGES].split(","))
        return in_json(why_view(explained, row, language, self._name))
