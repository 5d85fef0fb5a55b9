"""The tests of a challenger: what they decide, how often they are wrong, and how many likes they need."""

import msgspec
import numpy as np
import pytest

from inference.versions.rules import Rules
from inference.versions.verdicts import RECENT, Arms, Judgement, Paired
from schemas.models import Comparison
from tests.support.verdict_draws import judged_canary, judged_shadow

RULES = Rules()


def compared(number: int, *, champion: bool, challenger: bool, canary: bool = False) -> Comparison:
    return Comparison(
        id=str(number), list="l", scene="s", ts=1, champion="a", challenger="b", champion_hit=champion,
        challenger_hit=challenger, canary=canary,
    )  # fmt: skip


def fed(test: Paired | Arms, count: int, **hits: bool) -> Judgement:
    for number in range(count):
        test.add(compared(number + 1_000_000 * len(test.recent.ids), **hits))
    return test.judge(RULES)


def test_shadow_that_misses_what_the_champion_hits_is_worse() -> None:
    found = fed(Paired.of(RULES), 60, champion=True, challenger=False)
    assert found.outcome == "worse"
    assert found.low <= found.difference == -1.0
    assert found.high < 0
    assert "lower by" in found.reason


def test_shadow_passes_only_after_the_minimum() -> None:
    test = Paired.of(RULES)
    assert fed(test, RULES.shadow_pairs - 1, champion=False, challenger=True).outcome == "undecided"
    assert fed(test, 1, champion=False, challenger=True).outcome == "passed"


def test_shadow_that_stays_undecided_is_inconclusive() -> None:
    rules = Rules(shadow_pairs=10, shadow_limit=50)
    test = Paired.of(rules)
    for number in range(50):
        test.add(compared(number, champion=number % 2 == 0, challenger=number % 2 == 1))
    assert test.judge(rules).outcome == "inconclusive"


def test_repeated_comparison_counts_once() -> None:
    for test in (Paired.of(RULES), Arms.of(RULES)):
        for _ in range(3):
            test.add(compared(1, champion=True, challenger=False))
        assert test.repeats == 2
    shadow = Paired.of(RULES)
    for number in range(RECENT + 10):
        shadow.add(compared(number, champion=True, challenger=True))
    assert len(shadow.recent.ids) == RECENT


def test_shadow_ignores_lists_that_the_challenger_ordered() -> None:
    test = Paired.of(RULES)
    test.add(compared(1, champion=True, challenger=False, canary=True))
    assert test.differences.count == 0


def test_canary_counts_only_the_version_that_was_shown() -> None:
    test = Arms.of(RULES)
    test.add(compared(1, champion=True, challenger=False, canary=True))
    test.add(compared(2, champion=True, challenger=False))
    assert (test.canary.count, test.canary.mean) == (1, 0.0)
    assert (test.champion.count, test.champion.mean) == (1, 1.0)


def test_canary_that_looks_worse_is_not_promoted() -> None:
    rules = Rules(canary_likes=10, canary_limit=20)
    test = Arms.of(rules)
    for number in range(19):
        test.add(compared(number, champion=True, challenger=number % 2 == 0, canary=number % 3 > 0))
    assert test.judge(rules).outcome == "undecided"
    for number in range(19, 40):
        test.add(compared(number, champion=True, challenger=number % 2 == 0, canary=number % 3 > 0))
    assert test.judge(rules).outcome in {"inconclusive", "worse"}


@pytest.mark.parametrize("kind", [Paired, Arms])
def test_unfinished_test_can_be_stored_and_continued(kind: type[Paired | Arms]) -> None:
    whole, part = kind.of(RULES), kind.of(RULES)
    given = [compared(n, champion=n % 3 == 0, challenger=n % 4 == 0) for n in range(200)]
    for each in given:
        whole.add(each)
    for each in given[:77]:
        part.add(each)
    part = msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=kind)
    for each in given[77:]:
        part.add(each)
    assert part == whole


@pytest.mark.slow
def test_equal_challengers_are_rarely_withdrawn() -> None:
    """A/A, 200 runs of each stage, with the default rules."""
    shadows = [judged_shadow(RULES, 0.0, np.random.default_rng(seed)) for seed in range(200)]
    assert sum(outcome == "worse" for outcome, _ in shadows) <= 10
    canaries = [judged_canary(RULES, 0.0, np.random.default_rng(seed)) for seed in range(200)]
    assert sum(outcome != "passed" for outcome, _ in canaries) <= 10


@pytest.mark.slow
def test_drift_of_both_versions_withdraws_no_canary() -> None:
    """Users like less and less of what either version shows; the bounds of a fixed mean would blame the canary."""
    rules, wrong, blamed = Rules(canary_likes=100_000, canary_limit=100_000), 0, 0
    for seed in range(40):
        random, test = np.random.default_rng(seed), Arms.of(rules)
        ratios = np.linspace(0.6, 0.1, 12_000)
        shown, hits = random.random(12_000) < 0.1, random.random(12_000) < ratios
        found, fixed = False, False
        for canary, hit in zip(shown.tolist(), hits.tolist(), strict=True):
            (test.canary if canary else test.champion).add(float(hit))
            found = found or test.judge(rules).outcome == "worse"
            fixed = fixed or test.canary.bounds.high < test.champion.bounds.low
        wrong, blamed = wrong + found, blamed + fixed
    assert wrong <= 2
    assert blamed > 20


def test_loss_is_found_in_shadow() -> None:
    found = [judged_shadow(RULES, 0.06, np.random.default_rng(seed)) for seed in range(40)]
    assert sum(outcome == "worse" for outcome, _ in found) >= 38
    assert np.median([pairs for _, pairs in found]) < 600


def test_large_loss_of_a_canary_is_found() -> None:
    found = [judged_canary(RULES, 0.15, np.random.default_rng(seed)) for seed in range(40)]
    assert sum(outcome == "passed" for outcome, _ in found) == 0
    assert np.median([likes for _, likes in found]) < 500


@pytest.mark.parametrize("field", ["risk", "share", "margin"])
def test_rules_out_of_bounds_are_refused(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        Rules.make(**{field: 7.0})


def test_limit_below_its_minimum_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="canary_likes is 5,000, above canary_limit, 2,000"):
        Rules.make(canary_likes=5_000)
