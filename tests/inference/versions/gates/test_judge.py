"""All gates together: a version passes against itself, and each fault is stopped by the first gate that can see it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from inference.off_policy.decisions import NO_DECISIONS
from inference.versions.gates.judge import DEFAULT, judge, passed, stopped_by
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import DEPTH, Measured, Trial, by_attribute
from inference.versions.store import Gate
from tests.support import trials

REPETITIONS = 40


def judged(trial: Trial, seed: int = 0, thresholds: Thresholds = DEFAULT) -> list[Gate]:
    return judge(trial, thresholds, np.random.default_rng(seed))


def alarms(made, repetitions: int = REPETITIONS) -> list[str]:
    """The first failed gate of each repetition with one."""
    stops = (stopped_by(judged(made(seed), seed)) for seed in range(repetitions))
    return [stop.name for stop in stops if stop is not None]


def test_version_passes_against_itself() -> None:
    found = alarms(trials.same)
    assert len(found) <= 0.05 * REPETITIONS, found


def test_twins_of_one_quality_pass() -> None:
    found = alarms(trials.twins)
    assert len(found) <= 0.1 * REPETITIONS, found


def shuffled(version: Measured, rng: np.random.Generator) -> Measured:
    """Knows no item any more."""
    places = rng.permutation(trials.ITEMS)[rng.integers(0, trials.ITEMS, len(version.places))]
    return replace(version, places=places.astype(np.int64))


def popular(version: Measured, rng: np.random.Generator) -> Measured:
    """As good on these tests, and always the same items."""
    return replace(version, top=np.tile(np.arange(DEPTH), (len(version.top), 1)))


def mainstream(version: Measured, rng: np.random.Generator) -> Measured:
    """One item of each list is drawn from the whole catalogue, all others are the most popular."""
    top = np.argsort(rng.random((len(version.top), trials.ITEMS // 5)), axis=1)[:, :DEPTH].astype(np.int64)
    top[:, 0] = rng.integers(0, trials.ITEMS, len(top))
    return replace(version, top=top)


def overconfident(version: Measured, rng: np.random.Generator) -> Measured:
    return replace(version, predicted=np.minimum(1.0, 4 * version.predicted))


def not_finite(version: Measured, rng: np.random.Generator) -> Measured:
    return replace(version, broken=1)


@pytest.mark.parametrize(
    ("planted", "stop"),
    [
        (not_finite, "finite scores"),
        (shuffled, f"next item NDCG@{DEPTH}"),
        (overconfident, "calibration error"),
        (popular, "coverage"),
        (mainstream, "long-tail share"),
    ],
)
def test_fault_is_stopped_by_the_first_gate_that_sees_it(planted, stop: str) -> None:
    for seed in range(5):
        good = trials.twins(seed)
        bad = replace(good, challenger=planted(good.challenger, np.random.default_rng(seed)))
        found = stopped_by(judged(bad, seed))
        assert found is not None
        assert found.name == stop, found


def test_group_that_loses_is_stopped_where_the_mean_hides_it() -> None:
    good = trials.same(3)
    genre = good.users % 5 == 0
    places = np.where(genre, 300, good.champion.places)
    bad = replace(
        good,
        challenger=replace(good.champion, places=places),
        groups=by_attribute("genre", [("Horror", "Film") if one else ("Drama", "Film") for one in genre]),
    )
    lenient = msgspec.structs.replace(DEFAULT, ndcg_margin=1.0, hit_margin=1.0)
    gates = {gate.name: gate for gate in judged(bad, thresholds=lenient)}
    assert not gates["worst group"].passed
    assert "genre=Horror" in gates["worst group"].text


def test_trial_without_tests_fails() -> None:
    """Nothing is known: neither quality nor calibration was measured."""
    found = judged(trials.same(0, tests=0, decisions=0))
    assert {gate.name for gate in found if not gate.passed} >= {f"next item NDCG@{DEPTH}", "calibration error"}


def test_one_test_decides_nothing() -> None:
    found = judged(trials.same(0, tests=1, decisions=1))
    assert not passed(found)
    assert "at least 30 are needed" in next(gate.text for gate in found if gate.name.startswith("next item"))


def test_results_can_be_stored_and_read() -> None:
    for each in (trials.twins(1), trials.same(0, tests=0, decisions=0)):
        gates = judged(each)
        assert msgspec.json.decode(msgspec.json.encode(gates), type=list[Gate]) == gates
        for gate in gates:
            assert np.isfinite([gate.figure, gate.threshold, gate.low or 0.0, gate.high or 0.0]).all()
            assert gate.text.endswith((".", "`)."))


def test_same_seed_gives_the_same_gates() -> None:
    assert judged(trials.twins(1), 7) == judged(trials.twins(1), 7)


def test_version_that_was_not_judged_has_not_passed() -> None:
    assert not passed([])
    assert stopped_by([]) is None


def test_arrays_of_other_lengths_are_refused() -> None:
    good = trials.same(0)
    with pytest.raises(ValueError, match="rows"):
        replace(good, likes=good.likes[1:])
    with pytest.raises(ValueError, match="chances"):
        replace(good, decisions=NO_DECISIONS)


@pytest.mark.parametrize("wrong", [{"least_tests": 1}, {"agreement": 2.0}, {"clip": 0.0}, {"unknown": 1}])
def test_thresholds_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Thresholds)
