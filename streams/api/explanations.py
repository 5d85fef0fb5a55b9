"""`GET /v1/explanations/{list}/{item}`: why an entry is on the last published list of a user."""

from collections.abc import Callable

from aiohttp import web

from schemas.http.users import MAX_CAUSES, Cause, Explanation, ExplanationPath, ExplanationQuery
from streams.api.answers import in_json
from streams.api.latest import Latest
from streams.api.ownership import Ownership
from streams.api.problems import Kind, Problem
from streams.api.requests import of_path, of_query
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.serving.explaining import Explained, Explaining, NotExplained
from streams.web.rate import Bucket
from streams.wording.causes import sentence
from streams.wording.language import Language, preferred

PER_SECOND = 10.0
"""Explanations of all clients: the model reads a user's context many times for one."""

MAX_LANGUAGES = 200
"""Characters of the languages that a reader prefers."""


class Explanations:
    """`explaining` returns what explains lists, None while the worker starts."""

    def __init__(
        self,
        *,
        explaining: Callable[[], Explaining | None],
        latest: Latest,
        ownership: Ownership,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._explaining = explaining
        self._latest = latest
        self._ownership = ownership
        self._catalogue = catalogue
        self._clock = clock
        self._asked = Bucket(PER_SECOND)

    async def get(self, request: web.Request) -> web.StreamResponse:
        path, user = of_path(request, ExplanationPath), of_query(request, ExplanationQuery).user
        subject, explaining, made = self._ownership.subject(user), self._explaining(), self._latest.of(user)
        if explaining is None:
            raise Problem(Kind.STARTING, "The worker starts. Try again in a few seconds.")
        if made is None or made.id != path.list:
            raise Problem(Kind.NOT_FOUND, "That is not the user's last list, which alone can be explained: get it.")
        if all(entry.item != path.item for entry in made.entries):
            raise Problem(Kind.NOT_FOUND, "That item is not on the list: ask about one that is.")
        if not self._asked.take(self._clock.monotonic()):
            raise Problem(Kind.RATE, "Many ask why at this moment. Try again in a second.", why="rate")
        try:
            explained = await explaining.explain(made, subject)
        except NotExplained as why:
            raise Problem(Kind.CHANGED, str(why)) from None
        row = explained.rows.get(path.item)
        if row is None:
            raise Problem(Kind.CHANGED, "That entry would not be on the list any more: ask about the next list.")
        language = preferred(languages(request.headers.get("Accept-Language", "")))
        return in_json(self._view(explained, row, language))

    def _view(self, explained: Explained, row: int, language: Language) -> Explanation:
        causes = explained.causes
        strongest = [(causes.events[at], at) for at in causes.strongest(row, MAX_CAUSES)]
        return Explanation(
            sentence=sentence(causes, row, self._title, language),
            language=language.name,
            score=float(causes.score[row]),
            place=int(causes.place[row]),
            events=len(causes.events),
            causes=tuple(
                Cause(
                    item=done.item,
                    kind=done.kind,
                    ts=done.ts,
                    adds=float(causes.adds[at, row]),
                    place_without=int(causes.place_without[at, row]),
                )
                for done, at in strongest
            ),
            model_version=explained.version,
        )

    def _title(self, item: str) -> str:
        known = self._catalogue.get(item)
        return item if known is None else known.title


def languages(header: str) -> list[str]:
    """The languages of a header Accept-Language, the most wanted first."""
    tags = [part.partition(";q=") for part in header[:MAX_LANGUAGES].replace(" ", "").split(",")]
    weights = [(_weight(quality), tag) for tag, _, quality in tags if tag and tag != "*"]
    return [tag for weight, tag in sorted(weights, key=lambda one: -one[0]) if weight > 0]


def _weight(quality: str) -> float:
    try:
        return float(quality or 1)
    except ValueError:
        return 0.0
