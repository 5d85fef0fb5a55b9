"""How often 95% intervals contain the true value, on logs of small worlds whose truth is enumerated
(`tests.support.small_lists`)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from inference.off_policy.decisions import Decisions, Modeled, doubly_robust, ips, snips
from inference.off_policy.intervals import anytime, bootstrap
from inference.off_policy.lists import cascade_doubly_robust, independent, reward_interaction, standard
from inference.off_policy.rewards import from_here_down
from inference.off_policy.terms import Terms
from inference.off_policy.weights import ratios
from tests.support.small_lists import Drawn, SmallWorld

ROWS, USERS = 1_000, 500
LEAST, MOST = 0.93, 0.97
CLIP = 10.0
ALWAYS = "anytime-valid, at every length"


class Row(NamedTuple):
    """`inside` of `runs` intervals contain the truth; `error`: the mean error over its standard error."""

    world: str
    estimator: str
    inside: int
    runs: int
    error: float
    width: float

    @property
    def share(self) -> float:
        return self.inside / self.runs

    @property
    def agrees(self) -> bool:
        return LEAST <= self.share <= (1.0 if self.estimator == ALWAYS else MOST)


def of_decisions(drawn: Drawn, rng: np.random.Generator) -> dict[str, Terms]:
    lists, (model, target) = drawn.logged, drawn.modeled(rng)
    assert target.added is not None
    of, chances = Decisions(lists.users, lists.rewards[:, 0], lists.propensities[:, 0]), target.chances[:, 0]
    said = Modeled(model.taken(drawn.items)[:, 0], model.expected(target.added, drawn.items)[:, 0])
    return {
        "IPS": ips(of, chances),
        "SNIPS": snips(of, chances),
        "doubly robust": doubly_robust(of, chances, said),
    }


def of_lists(drawn: Drawn, rng: np.random.Generator) -> dict[str, Terms]:
    lists, (model, target) = drawn.logged, drawn.modeled(rng)
    assert target.added is not None
    chances = target.chances
    taken, expected = from_here_down(model.taken(drawn.items), model.expected(target.added, drawn.items))
    return {
        "standard IPS": standard(lists, chances),
        "standard SNIPS": standard(lists, chances, normalized=True),
        "reward-interaction IPS": reward_interaction(lists, chances),
        "reward-interaction SNIPS": reward_interaction(lists, chances, normalized=True),
        "cascade doubly robust": cascade_doubly_robust(lists, chances, taken, expected),
    }


def of_marginals(drawn: Drawn, rng: np.random.Generator) -> dict[str, Terms]:
    lists, chances = drawn.marginal()
    return {
        "independent IPS": independent(lists, chances),
        "independent SNIPS": independent(lists, chances, normalized=True),
    }


WORLDS: tuple[tuple[str, SmallWorld, Callable[[Drawn, np.random.Generator], dict[str, Terms]]], ...] = (
    ("decisions", SmallWorld(places=1, seed=1), of_decisions),
    ("lists, each place depends on the one above", SmallWorld(seed=2), of_lists),
    ("lists, each place on its own", SmallWorld(interaction=0.0, seed=3), of_marginals),
)


def covered(runs: int, tell: Callable[[str], None]) -> Iterator[Row]:
    """The rows of every estimator that is unbiased (or consistent) in its world."""
    for name, world, estimate in WORLDS:
        found: dict[str, list[tuple[float, float, float]]] = {}
        for run in range(runs):
            rng = np.random.default_rng((run, world.seed))
            drawn = world.draw(ROWS, rng, USERS)
            terms = estimate(drawn, rng)
            ends = bootstrap(list(terms.values()), drawn.owners, rng).values
            for (estimator, each), (low, high) in zip(terms.items(), ends, strict=True):
                assert low is not None
                assert high is not None
                found.setdefault(estimator, []).append((each.value, low, high))
            if (run + 1) % 100 == 0:
                tell(f"{name}: {run + 1:,} of {runs:,} logs")
        for estimator, rows in found.items():
            values, lows, highs = np.array(rows).T
            inside = int(((lows <= world.truth) & (world.truth <= highs)).sum())
            error = float((values.mean() - world.truth) / (values.std() / np.sqrt(runs)))
            yield Row(name, estimator, inside, runs, error, float((highs - lows).mean()))
        if estimate is of_decisions:
            yield _always(name, world, max(1, runs // 5))


def _always(name: str, world: SmallWorld, runs: int) -> Row:
    """A run is inside if the truth is within the bounds at every length of the log."""
    inside, widths = 0, []
    for run in range(runs):
        drawn = world.draw(ROWS, np.random.default_rng((run, world.seed)), USERS)
        weights = ratios(drawn.chances, drawn.logged.propensities)[:, 0]
        bounds = anytime(weights, drawn.rewards[:, 0], least=0.0, most=1.0, clip=CLIP)
        inside += all(each.low <= world.truth <= each.high for each in bounds)
        widths.append(bounds[-1].high - bounds[-1].low)
    return Row(name, ALWAYS, inside, runs, float("nan"), float(np.mean(widths)))
