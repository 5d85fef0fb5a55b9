"""The list without the model and the popular items as policies on logged lists, by replaying the log's events through
the ranking core of a worker (`deploy.evaluation.live_ranking`).

A list is scored with what had happened when it was published. "no-model" draws from the candidates and scores of the
blend without the model, "popularity" from all items that may be shown, by the logarithm of 1 plus their likes. Neither
diversifies. They need not be exactly what a worker would have shown: they are separate policies, and their
probabilities are exact.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deploy.datasets.dataset import likes
from deploy.evaluation.live_ranking import SETTINGS, WITHOUT, Core
from deploy.off_policy.decision_log import Scored
from deploy.off_policy.popularity import NAME as POPULARITY
from inference.off_policy.logs import LoggedList
from inference.off_policy.terms import Floats, Ints
from schemas.events import Event
from schemas.items import Item
from streams.fold.context import EMPTY
from streams.ranking.settings import Ranking

NO_MODEL = "no-model"


def replayed(
    lists: Sequence[LoggedList],
    events: Sequence[Event],
    items: Sequence[Item],
    temperature: float,
    settings: Ranking = SETTINGS,
) -> Iterator[Mapping[str, Scored]]:
    """The scores of both policies for each list. `lists` and `events` are in the order of time; items are numbered as
    in `items`."""
    core = Core(items, settings)
    numbers = {item.id: number for number, item in enumerate(items)}
    learned = 0
    for each in lists:
        while learned < len(events) and events[learned].ts <= each.published:
            core.learn(events[learned], likes(events[learned]))
            learned += 1
        prepared = core.ranker.prepare(core.contexts.get(each.user, EMPTY), each.scene, now_ms=each.published)
        plain = core.ranker.shortlist(prepared, core.blends[WITHOUT])
        moment = prepared.moment
        own = np.array([numbers.get(core.catalogue.index[at], -1) for at in range(len(moment.allowed))], np.int64)
        liked = np.log1p(moment.graph.likes()[: len(own)].astype(np.float64)) / temperature
        allowed = moment.allowed & (own >= 0)
        candidates = plain.candidates.numbers
        yield {
            NO_MODEL: _scored(own[candidates], plain.scores.astype(np.float64) / temperature),
            POPULARITY: _scored(own[allowed], liked[allowed]),
        }


def _scored(numbers: Ints, scores: Floats) -> Scored:
    inside = numbers >= 0
    order = np.argsort(numbers[inside], kind="stable")
    return Scored(numbers[inside][order], scores[inside][order])
