"""The hit ratio of lists that explore, by temperature, and what a policy costs, on MovieLens-100K along the stream."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.datasets.dataset import Dataset, likes
from deploy.evaluation.live_ranking import SETTINGS, Core, Floats
from inference.evaluation.intervals import Interval, interval
from inference.evaluation.protocol import DEPTH, Rule, prequential
from inference.evaluation.retrieval import Readings
from inference.evaluation.runner import Cursor, Moment, Outcome, run
from inference.progress import Count
from schemas.events import Event
from streams.ranking.drawing import Noise
from streams.ranking.exploration import Exploration, Explorations
from streams.ranking.ranker import Ranker

Doubles = NDArray[np.float64]
Ranking = tuple[str, float, int]
"""A blend's name, a temperature (0: the list without exploration) and the number of the draw."""


class Exploring(Core):
    """The ranking core whose lists are drawn `draws` times at each temperature, as a worker draws them."""

    def __init__(self, dataset: Dataset, temperatures: Sequence[float], draws: int, model: Readings | None) -> None:
        self.cursor = Cursor()
        super().__init__(dataset.items, SETTINGS, model=None if model is None else self._scores)
        self._readings = model
        self._draws = draws
        self._rankers = {
            temperature: Ranker(self.catalogue, self.graph, replace(SETTINGS, exploration=always(temperature)))
            for temperature in temperatures
        }

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str]]:
        made = self._shortlists(moment)
        self._made = (moment, made)
        found = {}
        for blend, chosen in made.items():
            numbers, weights = chosen.candidates.numbers, self.blends[blend]
            found[name(blend, 0.0, 0)] = self._ids(numbers[self.ranker.arrange(chosen, weights, length=k).places])
            for temperature, ranker in self._rankers.items():
                for draw in range(self._draws):
                    places, _ = ranker.drawn(chosen, weights, Noise(f"{moment.user} {moment.ts} {draw}"))
                    found[name(blend, temperature, draw)] = self._ids(numbers[places])
        return found

    def _scores(self, _: int) -> Floats | None:
        return None if self._readings is None else self._readings.scores(self.cursor.at)


class Cost(NamedTuple):
    """What a policy costs: the hit ratio without it, the hit ratio with it, and the paired difference."""

    without: float
    by: float
    difference: Interval

    @property
    def most(self) -> float:
        """The upper end of the relative cost; infinite if there is no interval."""
        low = self.difference.low
        return float("inf") if low is None or self.without <= 0 else -low / self.without


def always(temperature: float) -> Explorations:
    """Every list explores, and has no places for new items."""
    return Explorations(Exploration(share=1.0, temperature=temperature, new_share=0.0))


def name(blend: str, temperature: float, draw: int) -> str:
    return f"{blend} {temperature:g} {draw}"


def judged(
    dataset: Dataset,
    stream: Sequence[Event],
    temperatures: Sequence[float],
    *,
    draws: int,
    rule: Rule,
    model: Readings | None,
    progress: Count,
) -> Outcome:
    """Rank before every test of the rule, without exploration and at each temperature."""
    core = Exploring(dataset, temperatures, draws, model)
    plan = prequential(stream, likes, rule, SETTINGS.seen)
    items = len(dataset.items)
    return run(stream, plan.steps, [core], likes=likes, items=items, cursor=core.cursor, progress=progress)


def people(outcome: Outcome) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(test.user, len(numbers)) for test in outcome.tests], np.int64)


def hits(outcome: Outcome, blend: str, temperature: float, draws: int, depth: int = DEPTH) -> Doubles:
    """The share of a test's draws that have its item in the first `depth` places, float64 [tests]."""
    rows = [outcome.row(name(blend, temperature, draw)) for draw in range(draws if temperature else 1)]
    places = np.array([[-1 if place is None else place for place in row] for row in rows])
    return np.asarray(((places >= 0) & (places < depth)).mean(axis=0), np.float64)


def cost(outcome: Outcome, blend: str, of: Exploration, draws: int) -> Cost:
    """The cost of a policy in HR@10.

    A test's hit is its expectation over the draws of the policy, as far as it is known exactly: over whether a list
    explores, and whether it has places for new items. Those count as misses, so the cost is at least the true one.
    """

    def mixed(depth: int) -> Doubles:
        usual, explored = (hits(outcome, blend, warm, draws, depth) for warm in (0.0, of.temperature))
        return (1.0 - of.share) * usual + of.share * explored

    usual = hits(outcome, blend, 0.0, draws)
    by = (1.0 - of.new_share) * mixed(DEPTH) + of.new_share * mixed(DEPTH - of.new_places)
    return Cost(float(usual.mean()), float(by.mean()), interval(by - usual, people(outcome)))
