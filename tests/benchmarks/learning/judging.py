"""The lists that several models make on the same stream, and their figures with paired intervals."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.datasets.dataset import Dataset, likes
from deploy.evaluation.live_ranking import SETTINGS, WITHOUT, Core, Floats
from inference.evaluation.intervals import interval
from inference.evaluation.protocol import DEPTH, Rule, prequential
from inference.evaluation.retrieval import Retrieval
from inference.evaluation.runner import Cursor, Method, Moment, Outcome, run
from inference.progress import Count
from inference.training.walk_forward import Readings
from schemas.events import Event
from streams.items.vectors import Affinities
from streams.ranking.blend import Blend
from streams.ranking.shortlist import Shortlist

ALONE = "alone:"
Scores = Callable[[], Floats | None]


class Cores(Core):
    """The ranking core with a blend for each of several models, beside the one without a model."""

    def __init__(self, dataset: Dataset, models: Mapping[str, Scores]) -> None:
        super().__init__(dataset.items, SETTINGS)
        self._models = models
        self.blends |= {name: self.ranker.fit(Blend()) for name in models}

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str]]:
        made = self._shortlists(moment)
        self._made = (moment, made)
        return {
            name: self._ids(chosen.candidates.numbers[self.ranker.arrange(chosen, self.blends[name], length=k).places])
            for name, chosen in made.items()
        }

    def _shortlists(self, moment: Moment) -> dict[str, Shortlist]:
        made = super()._shortlists(moment)
        context = self.contexts.get(moment.user)
        prepared = self.ranker.prepare(context, moment.scene, now_ms=moment.ts) if context is not None else None
        for name, model in self._models.items():
            scores = model()
            if scores is None or prepared is None:
                made[name] = self.ranker.reorder(made[WITHOUT], self.blends[name])
                continue
            affinities = Affinities(scores, np.ones(len(scores), np.bool_))
            made[name] = self.ranker.shortlist(prepared, self.blends[name], affinities=affinities)
        return made


def judge(
    dataset: Dataset, stream: Sequence[Event], models: Mapping[str, Readings], *, blended: bool, progress: Count
) -> Outcome:
    """Rank before every like of the last third: by each model alone, and if `blended` by the core with each."""
    cursor = Cursor()
    plan = prequential(stream, likes, Rule(warm_up=2 / 3, share=1.0), SETTINGS.seen)
    ids = [item.id for item in dataset.items]
    scores: dict[str, Scores] = {name: partial(_at, found, cursor) for name, found in models.items()}
    methods: list[Method] = [Retrieval(f"{ALONE}{name}", found, ids) for name, found in scores.items()]
    if blended:
        methods.append(Cores(dataset, scores))
    return run(stream, plan.steps, methods, likes=likes, items=len(ids), cursor=cursor, progress=progress)


def figures(outcome: Outcome, ours: str) -> dict[str, Any]:
    """HR@10 and NDCG@10 by method, and the differences of `ours` to the others with bootstrap intervals over users."""
    _, people = np.unique([test.user for test in outcome.tests], return_inverse=True)
    gains = {name: _gains(outcome.row(name)) for name in outcome.places}
    found: dict[str, Any] = {"tests": len(outcome.tests), "users": len(set(people.tolist())), "last_third": {}}
    for name, (hits, gain) in gains.items():
        found["last_third"][name] = {"hr10": float(hits.mean()), "ndcg10": float(gain.mean())}
    found["against"] = {}
    for prefix in ("", ALONE):
        for name, theirs in gains.items():
            if name.startswith(ALONE) != bool(prefix) or name == prefix + ours or prefix + ours not in gains:
                continue
            of = [interval(a - b, people) for a, b in zip(gains[prefix + ours], theirs, strict=True)]
            found["against"][name] = {
                metric: {"mean": one.mean, "low": one.low, "high": one.high}
                for metric, one in zip(("hr10", "ndcg10"), of, strict=True)
            }
    return found


def _at(found: Readings, cursor: Cursor) -> Floats | None:
    return found.scores(cursor.at)


def _gains(places: Sequence[int | None]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The hit and the discounted gain of each test, float64 [tests]."""
    given = np.array([-1 if place is None else place for place in places])
    hits = (given >= 0) & (given < DEPTH)
    return hits.astype(np.float64), np.where(hits, 1.0 / np.log2(np.maximum(given, 0) + 2.0), 0.0)
