"""Comparisons of policies: intervals, verdicts, and what logs cannot tell."""

from dataclasses import replace

import numpy as np
import pytest

from inference.off_policy.comparison import CASCADE, DR, LOGGED, Comparison, Options, Target, compare
from inference.off_policy.diagnosis import Needs, Overlap, doubts
from inference.off_policy.intervals import anytime, bootstrap
from inference.off_policy.lists import Lists
from inference.off_policy.rewards import fit
from inference.off_policy.terms import Floats, mean_of
from inference.off_policy.weights import products, ratios
from tests.support.small_lists import ITEMS, SmallWorld


def compared(world: SmallWorld, count: int = 4_000, seed: int = 0, **options: object) -> Comparison:
    rng = np.random.default_rng(seed)
    drawn = world.draw(count, rng, users=count // 4)
    model, target = drawn.modeled(rng)
    return compare(
        drawn.logged, drawn.items, {"new": target}, model, rng, options=Options(**options)  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("places", [1, 3])
def test_all_estimates_agree_with_the_truth(places: int) -> None:
    world = SmallWorld(places=places)
    found = compared(world)
    assert found.estimates[0].policy == LOGGED
    assert found.estimates[0].value == pytest.approx(world.on_policy, abs=0.05)
    for each in found.estimates[1:]:
        if "one place" not in each.estimator and each.estimator != "direct method":
            assert each.value == pytest.approx(world.truth, abs=0.1), each
            assert each.low is not None
            assert each.high is not None
            assert each.low < each.value < each.high
            assert each.overlap is None or each.overlap.support == pytest.approx(1.0, abs=0.1)
    assert found.verdicts[0].estimator == (DR if places == 1 else CASCADE)


def test_better_and_worse_policies_are_told_apart() -> None:
    world = SmallWorld(places=1)
    rng = np.random.default_rng(0)
    drawn = world.draw(4_000, rng)
    model = fit(drawn.logged, drawn.items, ITEMS, rng)
    odds = world.odds[:, :, 0]  # each list is an item
    policies = {name: np.exp(sign * 8 * odds) for name, sign in (("good", 1), ("bad", -1))}
    targets = {}
    for name, weights in policies.items():
        chances = (weights / weights.sum(1, keepdims=True))[drawn.contexts]
        added = (chances * model.items[model.folds]).sum(1)
        targets[name] = Target(chances[np.arange(4_000), drawn.which][:, None], added[:, None])
    found = compare(drawn.logged, drawn.items, targets, model, rng)
    assert [each.says for each in found.verdicts] == ["better", "worse"]


def test_model_takes_variance_from_the_weights() -> None:
    found = {each.estimator: each for each in compared(SmallWorld(interaction=0.2, apart=1.2)).estimates}
    widths = {name: (each.high or 0) - (each.low or 0) for name, each in found.items()}
    assert widths[CASCADE] < 0.95 * widths["reward-interaction IPS"]
    assert widths["reward-interaction IPS"] < widths["standard IPS"]


def verdict(lists: Lists, chances: Floats, **options: object) -> tuple[str, str]:
    items, rng = np.zeros(lists.rewards.shape, np.int64), np.random.default_rng(0)
    model = fit(lists, items, 1, rng)
    found = compare(lists, items, {"x": Target(chances, None)}, model, rng, options=Options(**options))  # type: ignore[arg-type]
    return found.verdicts[0].says, "; ".join(found.verdicts[0].why)


def test_logs_that_cannot_tell_are_doubted() -> None:
    rng = np.random.default_rng(0)
    count = 1_000
    rewards, half = (rng.random((count, 1)) < 0.5).astype(np.float64), np.full((count, 1), 0.5)
    lists = Lists(np.arange(count), rewards, half, np.ones((count, 1), np.bool_))
    assert verdict(lists, half)[0] == "undecided"
    says, why = verdict(replace(lists, propensities=np.ones((count, 1))), half)
    assert (says, "no choice was random" in why) == ("unknown", True)
    rare = np.where(np.arange(count)[:, None] < 10, 0.5, 0.001)
    assert "effective sample" in verdict(lists, rare)[1]
    assert "never shown" in verdict(lists, np.full((count, 1), 0.2))[1]
    assert "too low" in verdict(lists, np.full((count, 1), 0.9))[1]
    assert "with a reward" in verdict(replace(lists, rewards=np.zeros((count, 1))), half)[1]
    assert verdict(lists, np.zeros((count, 1)))[0] == "unknown"
    alone = replace(lists, users=np.zeros(count, np.int64))
    assert "no interval" in verdict(alone, half)[1]


def test_good_logs_are_not_doubted() -> None:
    assert doubts(Overlap.of(np.ones(500), np.ones(500), 10.0), 0.5, Needs()) == []


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(300)
    found = bootstrap([mean_of(one), mean_of(one + 0.1 + 0.001 * rng.random(300))], np.arange(300), rng)
    low, high = found.differences[1]
    assert low is not None
    assert high is not None
    assert 0.1 < low < high < 0.102
    assert found.differences[0] == (None, None)


def test_bounds_hold_at_every_length_and_narrow() -> None:
    world, wrong = SmallWorld(places=1), 0
    for seed in range(40):
        drawn = world.draw(1_000, np.random.default_rng(seed))
        weights = products(ratios(drawn.chances, drawn.logged.propensities))[:, -1]
        bounds = anytime(weights, drawn.rewards[:, 0], least=0.0, most=1.0, clip=20.0)
        wrong += any(not each.low <= world.truth <= each.high for each in bounds)
        assert bounds[-1].high - bounds[-1].low < 0.6 < bounds[9].high - bounds[9].low
    assert wrong <= 4


def test_rewards_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="between"):
        anytime(np.ones(2), np.array([0.5, 1.5]), least=0.0, most=1.0, clip=2.0)


def test_bounds_at_every_moment_are_in_the_verdict() -> None:
    world = SmallWorld(places=2)
    bounds = compared(world, anytime=True).verdicts[0].anytime
    assert bounds is not None
    assert 0 <= bounds[0] <= world.truth <= bounds[1] <= 2


def test_clipped_weights_have_a_larger_effective_sample() -> None:
    found = {each.estimator: each.overlap for each in compared(SmallWorld(places=1, apart=2.0), clip=2.0).estimates}
    plain, clipped = found["IPS"], found["IPS, clipped at 2"]
    assert plain is not None
    assert clipped is not None
    assert plain.clipped == 0 < clipped.clipped
    assert plain.effective < clipped.effective
