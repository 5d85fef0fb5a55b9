"""The evidence about what a model adds: sums that add up, an e-value that keeps its risk, and verdicts from it."""

import math
from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ranking.gain import (
    NO_LIKES,
    RISK,
    SHARES,
    Gain,
    PairedLike,
    Sums,
    Verdict,
    evidence,
    taken,
    turned,
    verdict,
)
from tests.support.paired_likes import Model

MARGIN = 0.005
RUNS = 200

places = st.none() | st.integers(0, 19)
likes = st.builds(PairedLike, st.just("home"), st.just("v1"), places, places)
values = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=200)


def like(listed: int | None, without_model: int | None, version: str = "v1") -> PairedLike:
    return PairedLike("home", version, listed, without_model)


def of(*told: PairedLike) -> Gain:
    return reduce(taken, told, Gain())


@pytest.mark.parametrize(
    ("listed", "without_model", "hit", "worth"),
    [(0, None, 1, 1.0), (None, 2, -1, -0.5), (0, 2, 0, 0.5), (2, 2, 0, 0.0), (None, None, 0, 0.0)],
)
def test_like_gives_differences_in_hits_and_worth(
    listed: int | None, without_model: int | None, hit: int, worth: float
) -> None:
    assert of(like(listed, without_model)).now == Sums(1, hit, abs(hit), worth, worth**2)


@given(st.lists(likes, max_size=30), st.integers(0, 30))
def test_sums_of_partitions_add_up(told: list[PairedLike], cut: int) -> None:
    whole, parts = of(*told).sums, of(*told[:cut]).sums + of(*told[cut:]).sums
    assert msgspec.structs.astuple(parts) == pytest.approx(msgspec.structs.astuple(whole))


def test_another_version_starts_over() -> None:
    before = turned(of(like(0, None), like(0, None)))
    assert taken(before, like(None, 0, "v2")) == Gain("v2", Sums(1, -1, 1, -1.0, 1.0))


def test_evidence_is_of_this_window_and_the_one_before() -> None:
    first = turned(of(like(0, None)))
    assert (first.now, first.sums.likes) == (NO_LIKES, 1)
    second = taken(first, like(None, 0))
    assert (second.sums.likes, second.sums.hits) == (2, 0)
    assert turned(second).sums == Sums(1, -1, 1, -1.0, 1.0)


@given(values, st.floats(-1.0, 0.5))
def test_evidence_is_at_most_the_capital_of_the_bets(given_values: list[float], margin: float) -> None:
    short = margin - np.array(given_values)
    capital = np.mean([np.prod(1 + share / (1 - margin) * short) for share in SHARES])
    found = evidence(len(given_values), sum(given_values), sum(value**2 for value in given_values), margin)
    assert math.exp(found) <= capital * (1 + 1e-6)


def test_no_likes_are_no_evidence() -> None:
    assert evidence(0, 0, 0, MARGIN) == pytest.approx(0.0)
    assert verdict(NO_LIKES, MARGIN) is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        (Sums(10_000, -200, 1_500, -100.0, 300.0), Verdict.NOTHING),
        (Sums(10_000, 300, 1_500, 150.0, 300.0), Verdict.ADDS),
        (Sums(10_000, 20, 1_500, 10.0, 300.0), Verdict.UNDECIDED),
        (Sums(10_000, -200, 1_500, 100.0, 300.0), Verdict.UNDECIDED),
        (Sums(10_000, 10, 1_500, -100.0, 300.0), Verdict.UNDECIDED),
    ],
)
def test_model_adds_nothing_only_if_neither_hits_nor_worth_gain(sums: Sums, expected: Verdict) -> None:
    assert verdict(sums, MARGIN) is expected


def test_verdict_that_the_model_adds_nothing_stays_until_the_evidence_has_clearly_fallen() -> None:
    def at(hits: int) -> Sums:
        return Sums(10_000, hits, 1_500, -100.0, 300.0)

    limit = next(hits for hits in range(-300, 300) if verdict(at(hits), MARGIN) is not Verdict.NOTHING)
    assert verdict(at(limit), MARGIN, Verdict.NOTHING) is Verdict.NOTHING
    assert verdict(at(limit), MARGIN, Verdict.ADDS) is Verdict.UNDECIDED
    assert verdict(at(0), MARGIN, Verdict.NOTHING) is Verdict.UNDECIDED


def test_margin_of_minus_one_always_asks() -> None:
    assert verdict(Sums(100_000, -100_000, 100_000, -100_000.0, 100_000.0), -1.0) is not Verdict.NOTHING


@pytest.mark.parametrize(("gain", "apart"), [(0.03, 0.12), (0.03, 0.2), (0.005, 0.12), (0.005, 0.2)])
def test_model_that_adds_the_margin_is_asked_with_the_stated_risk(gain: float, apart: float) -> None:
    runs = (np.random.default_rng(seed) for seed in range(RUNS))
    wrong = sum(Model(gain, apart).stopped(MARGIN, rng, most=20_000) is not None for rng in runs)
    assert wrong <= (0 if gain > MARGIN else RISK * RUNS)


@pytest.mark.parametrize(("gain", "most"), [(0.0, 60_000), (-0.02, 4_000)])
def test_model_that_adds_nothing_is_found(gain: float, most: int) -> None:
    found = [Model(gain).stopped(MARGIN, np.random.default_rng(seed), most=most) for seed in range(20)]
    assert sum(each is not None for each in found) >= 10
