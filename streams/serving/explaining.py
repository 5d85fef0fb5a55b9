"""Explaining a published list: what each of the user's events adds to the scores of its entries.

Nothing is held for it while lists are made. The list's context is recognized by its digest, and the list is scored
again from it, with each event left out in turn (`streams.ranking.causes`): by the counts and weights of now, so scores
differ a little from the published ones. The model scores all these contexts in one request, beside lists.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from schemas.recommendations import Recommendation
from schemas.scoring import Scorer, Scores, ScoringError
from streams.candidates.moment import Ints
from streams.clock import Clock
from streams.fold.context import Context, digest_of, leave_out
from streams.fold.marking import Marking
from streams.metrics import MADE, REFUSED, Metrics
from streams.ranking.causes import Causes, acting, compare, scored
from streams.ranking.question import read
from streams.ranking.ranker import Ranker
from streams.ranking.shortlist import Shortlist
from streams.serving.blends import Blends
from streams.serving.live_versions import LiveVersion, LiveVersions
from streams.serving.wishes import Wishes
from streams.turns import Turns

log = logging.getLogger(__name__)

MODEL_SECONDS = 10.0
"""Maximum time that the model has for all contexts of an explanation."""

MAX_HELD = 64
"""Maximum explained lists that are held, about 10 KiB each; all entries of a list are explained together."""


class NotExplained(Exception):
    """A list that cannot be explained; the text says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Explained:
    """The causes of the scores of a list's entries. `rows` has the row of each item in `causes`; an entry that is no
    candidate any more has none. `version` is the model's, None if the list is one without the model."""

    user: str
    rows: dict[str, int]
    causes: Causes
    version: str | None


@dataclass(frozen=True)
class Subject:
    """Whose list is explained.

    `context` returns their context as it is now, `EMPTY` if it is gone, which marks items by `marking`; `session` is
    their number in the model, None if no model is used; `alias` the name of their state, None if they have none: then
    nothing is held of them.
    """

    context: Callable[[], Context]
    marking: Marking
    session: int | None
    alias: str | None


class Explaining:
    """Explains one list at a time. Raises `NotExplained`."""

    def __init__(
        self,
        *,
        ranker: Ranker,
        blends: Blends,
        scorer: Scorer | None,
        live: LiveVersions,
        wishes: Wishes,
        metrics: Metrics,
        clock: Clock,
        turns: Turns,
    ) -> None:
        self._ranker = ranker
        self._blends = blends
        self._scorer = scorer
        self._live = live
        self._wishes = wishes
        self._metrics = metrics
        self._clock = clock
        self._turns = turns
        self._held: OrderedDict[str, Explained] = OrderedDict()
        self._one = asyncio.Lock()
        self._current = ""

    async def explain(self, made: Recommendation, subject: Subject) -> Explained:
        """The causes of the scores of `made`, the subject's last list."""
        async with self._one:
            found = self._held.get(made.id)
            if found is not None:
                return found
            self._current = made.user
            try:
                found = await self._explain(made, subject)
            except NotExplained:
                self._metrics.explanations.labels(REFUSED).inc()
                raise
            finally:
                self._current = ""
            self._metrics.explanations.labels(MADE).inc()
            if subject.alias is not None:
                self._held[made.id] = found
            while len(self._held) > MAX_HELD:
                self._held.popitem(last=False)
            return found

    def drop(self, user: str) -> bool:
        """Drop what is held of an erased user; whether there was something."""
        gone = [name for name, explained in self._held.items() if explained.user == user]
        for name in gone:
            del self._held[name]
        return bool(gone)

    async def settle(self, user: str) -> None:
        """Return when no list of an erased user is being explained: the model must not cache the user again later."""
        while self._current == user:
            async with self._one:
                pass

    async def _explain(self, made: Recommendation, subject: Subject) -> Explained:
        context = subject.context()
        if digest_of(context) != made.context:
            raise NotExplained("The user has done something since this list was made: ask about the newer list.")
        ranker, blend = self._ranker, self._blends.blend(made.scene)
        wishes = await self._wishes.of(context, now_ms=made.ts, deadline=self._clock.monotonic())
        prepared = ranker.prepare(context, made.scene, now_ms=made.ts, marking=subject.marking, wishes=wishes)
        plain = ranker.shortlist(prepared, blend)
        events = acting(context, made.scene)
        answers: dict[int, Scores] = {}
        whole = None
        by = self._live.champion() if subject.alias is None else self._live.of_list(subject.alias)
        if made.model_version is not None:
            whole, answers = await self._answers(made, plain, subject.session, by)
        chosen = plain if whole is None else ranker.rescore(plain, whole, blend, by.vectors)
        asked = plain.candidates.numbers[plain.order[: 0 if whole is None else len(whole.scores)]]
        rows, entries = _entries(made, chosen, ranker)
        without_each = []
        for event in events:
            await self._turns.next()
            scores = answers.get(event.event, whole)
            changed = leave_out(context, event.event)
            revised = ranker.revise(chosen, changed, blend, scores=scores, asked=asked, vectors=by.vectors)
            without_each.append(scored(revised, ranker.blended(revised, blend), entries))
        if digest_of(subject.context()) != made.context:  # perhaps erased meanwhile
            raise NotExplained("The user has done something in the meantime: ask about the newer list.")
        causes = compare(events, scored(chosen, ranker.blended(chosen, blend), entries), without_each)
        return Explained(made.user, rows, causes, None if whole is None else whole.model_version)

    async def _answers(
        self, made: Recommendation, plain: Shortlist, session: int | None, by: LiveVersion
    ) -> tuple[Scores, dict[int, Scores]]:
        """The model's answer with all events, and without each of those that it reads, by the event's digest."""
        if self._scorer is None or session is None:
            raise NotExplained("This worker has no model, and the list was made with one.")
        request = self._ranker.question(plain, session=session)
        moment = plain.moment
        places = {
            one.event: place
            for place, one in enumerate(
                read(moment.context, moment.scene, catalogue=moment.catalogue, settings=self._ranker.settings)
            )
        }
        events = [one.event for one in acting(moment.context, moment.scene) if one.event in places]
        try:
            async with asyncio.timeout(MODEL_SECONDS):
                whole, *others = await self._scorer.without(
                    request, [places[event] for event in events], timeout=MODEL_SECONDS, number=by.number
                )
        except (ScoringError, TimeoutError) as error:
            log.info("A list could not be explained, the model does not answer (%s)", type(error).__name__)
            raise NotExplained("The model did not answer in time. Try again in a few seconds.") from None
        if whole.model_version != made.model_version:
            raise NotExplained("Another version of the model makes lists now: ask about the next list.")
        return whole, dict(zip(events, others, strict=True))


def _entries(made: Recommendation, chosen: Shortlist, ranker: Ranker) -> tuple[dict[str, int], Ints]:
    """The entries of a list that are candidates: the row of each item, and their places in the shortlist."""
    numbers = chosen.candidates.numbers
    rows: dict[str, int] = {}
    places: list[int] = []
    for entry in made.entries:
        number = ranker.catalogue.index.find(entry.item)
        place = -1 if number is None else int(np.searchsorted(numbers, number))
        if 0 <= place < len(numbers) and numbers[place] == number:
            rows[entry.item] = len(places)
            places.append(place)
    return rows, np.array(places, np.int64)
