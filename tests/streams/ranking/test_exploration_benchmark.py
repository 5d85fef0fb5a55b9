"""The benchmark of exploration: hits of drawn lists, and the cost of a policy."""

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.datasets.dataset import Dataset
from deploy.evaluation.live_ranking import WITH, WITHOUT
from inference.evaluation.protocol import Rule
from inference.evaluation.runner import Outcome
from schemas.events import Event, EventKind
from streams.ranking.exploration import OFF, Exploration
from tests.benchmarks.exploration.curve import cost, hits, judged
from tests.support.ranking_world import NOW, item

NAMES = [f"i{number:02}" for number in range(40)]


def dataset() -> Dataset:
    """Users like items near one another in the order of their names."""
    rng, events = Random(1), []
    for at in range(900):
        user = at % 30
        liked = NAMES[(user + rng.randrange(14)) % 40]
        events.append(Event(id=f"e{at}", user=f"u{user}", kind=EventKind.LIKE, ts=NOW + 1000 * at, item=liked))
    return Dataset(tuple(item(name) for name in NAMES), tuple(events), "users and their neighbourhoods")


class Neighbours:
    """A model that knows which items a user is near."""

    tokens = 0.0

    def scores(self, event_index: int) -> NDArray[np.float32]:
        return np.array([-((number - event_index % 30 - 7) % 40) for number in range(40)], np.float32)

    def unseen(self, event_index: int) -> NDArray[np.bool_]:
        return np.zeros(40, np.bool_)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    films = dataset()
    rule = Rule(warm_up=0.3, share=1.0)
    return judged(
        films, films.events, (0.05, 5.0), draws=3, rule=rule, model=Neighbours(), progress=lambda done, total: None
    )


@pytest.mark.parametrize("blend", [WITHOUT, WITH])
def test_hits_fall_with_the_temperature(outcome: Outcome, blend: str) -> None:
    none, cold, hot = (hits(outcome, blend, temperature, 3).mean() for temperature in (0.0, 0.05, 5.0))
    assert none >= cold - 0.02
    assert cold > hot + 0.05


def test_cost_grows_with_the_share_and_counts_new_items_as_misses(outcome: Outcome) -> None:
    def mean(**of: float) -> float:
        return cost(outcome, WITHOUT, Exploration(**({"temperature": 5.0, "share": 0.0, "new_share": 0.0} | of)), 3).by  # type: ignore[arg-type]

    usual, hot = hits(outcome, WITHOUT, 0.0, 3).mean(), hits(outcome, WITHOUT, 5.0, 3).mean()
    assert mean() == pytest.approx(usual)
    assert mean(share=1.0) == pytest.approx(hot)
    assert mean(share=0.25) == pytest.approx(0.75 * usual + 0.25 * hot)
    assert mean(new_share=1.0) == pytest.approx(hits(outcome, WITHOUT, 0.0, 3, depth=8).mean())
    found = cost(outcome, WITHOUT, Exploration(share=0.5, temperature=5.0), 3)
    assert found.difference.low is not None
    assert 0 < -found.difference.mean / found.without < found.most


def test_policy_without_exploration_costs_nothing(outcome: Outcome) -> None:
    found = cost(outcome, WITHOUT, Exploration(share=OFF.share, temperature=5.0, new_share=OFF.new_share), 3)
    assert (found.without, found.difference.mean) == (found.by, 0.0)
