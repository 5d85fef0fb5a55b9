"""What counts as drift: against a frozen reference, with bounded state, and not where nothing changed."""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.versions.drift import (
    DAY_MS,
    HOUR_MS,
    LEAST_COUNT,
    MOST_BINS,
    MOST_LABELS,
    OTHER,
    Drift,
    Finding,
    Level,
    Observed,
    Shares,
    most_frequent,
    stability_index,
)
from inference.versions.rules import Rules
from tests.support.drift_world import NOTHING, Change, alarmed

RULES = Rules(drift_lists=1_000)


def draws(chance: float, count: int, seed: int = 0) -> list[float]:
    return (np.random.default_rng(seed).random(count) < chance).astype(float).tolist()


def level(*values: Iterable[float], fall: bool = True) -> tuple[Level, Finding]:
    made = Level.of(0.0 if fall else -1.0, 1.0, 0.025, RULES, fall=fall)
    for each in values:
        for value in each:
            made.add(value, RULES)
    return made, made.finding("m", RULES)


def of(found: list[Finding], measure: str) -> Finding:
    return next(each for each in found if each.measure == measure)


def test_reference_is_frozen_and_said_while_it_is_gathered() -> None:
    made, found = level(draws(0.3, 400))
    assert (found.drifted, found.text) == (False, "gathering its reference: 400 of 1,000 lists")
    made, _ = level(draws(0.3, 5_000))
    assert made.reference.count == 1_000
    assert [block.values.count for block in made.blocks] == [125, 250, 500, 1_000]
    assert [block.number for block in made.blocks] == [32, 16, 8, 4]


def test_fall_is_found_and_clears_after_a_block_without_it() -> None:
    made, found = level(draws(0.4, 2_000), draws(0.1, 300, 1))
    assert found.drifted
    assert found.figure < -0.2
    assert found.high is not None
    assert found.high < -RULES.drift_margin
    assert "fell by more than 0.02" in found.text
    for value in draws(0.4, 3_000, 2):
        made.add(value, RULES)
    assert not made.finding("m", RULES).drifted


def test_rise_is_drift_of_the_calibration_only() -> None:
    assert not level(draws(0.2, 2_000), draws(0.6, 1_000, 1))[1].drifted
    assert level(draws(0.2, 2_000), draws(0.6, 1_000, 1), fall=False)[1].drifted


def test_change_within_the_margin_is_no_drift() -> None:
    values = [*draws(0.4, 2_000), *draws(0.1, 1_000, 1)]
    for margin in (0.1, 0.5):
        rules = msgspec.structs.replace(RULES, drift_margin=margin)
        made = Level.of(0.0, 1.0, 0.025, rules, fall=True)
        for value in values:
            made.add(value, rules)
        assert made.finding("m", rules).drifted == (margin < 0.3)


def test_values_out_of_bounds_count_as_the_bound() -> None:
    made, _ = level([2.0, -3.0, math.inf])
    assert made.reference.total == 2.0


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 10_000), min_size=1, max_size=40))
def test_index_of_a_population_with_itself_is_zero(counts: dict[str, int]) -> None:
    assert stability_index(counts, counts) == 0.0


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1_000), min_size=1).filter(lambda one: sum(one.values())),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1_000), min_size=1).filter(lambda one: sum(one.values())),
)
def test_index_is_symmetric_finite_and_not_negative(one: dict[str, int], other: dict[str, int]) -> None:
    index = stability_index(one, other)
    assert index == pytest.approx(stability_index(other, one))
    assert 0.0 <= index < math.inf


def test_index_of_known_shares() -> None:
    many = 10_000_000
    index = stability_index({"a": many // 2, "b": many // 2}, {"a": many // 4, "b": many * 3 // 4})
    assert index == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), abs=1e-5)


def test_chance_alone_makes_no_index() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        counts = [dict(enumerate(rng.multinomial(300, np.full(24, 1 / 24)).tolist())) for _ in range(2)]
        found.append(stability_index(*({str(name): count for name, count in each.items()} for each in counts)))
    assert float(np.mean(found)) < 0.05
    assert max(found) < Rules().drift_psi


def test_labels_and_bins_are_bounded() -> None:
    shares = Shares()
    for number in range(MOST_LABELS * 2):
        shares.add(f"label {number}")
    assert len(shares.window) == MOST_LABELS + 1
    shares.end_window()
    assert len(shares.reference) <= MOST_BINS + 1
    assert sum(shares.reference.values()) == MOST_LABELS * 2
    for number in range(MOST_LABELS):
        shares.add(f"new {number}")
    assert shares.window == {OTHER: MOST_LABELS}
    assert most_frequent({"a": 1, OTHER: 2}) == {OTHER: 2, "a": 1}


def test_window_with_too_few_values_is_left_out() -> None:
    shares = Shares()
    for _ in range(LEAST_COUNT - 1):
        shares.add("a")
    shares.end_window()
    assert (shares.frozen, shares.window, shares.index) == (False, {}, None)


def listed(count: int, begin: int = 0, **fields: object) -> list[Observed]:
    """One list each minute, of which every fourth is taken."""
    return [
        Observed(number % 4 == 0, DAY_MS + (begin + number) * 60_000, **fields)  # type: ignore[arg-type]
        for number in range(count)
    ]


def test_each_measure_drifts_by_what_it_measures() -> None:
    same = {"chance": 0.25, "history": 9, "attributes": ("comedy",)}
    for changed, measure in (
        ({"chance": 0.9}, "calibration"), ({"history": 1}, "history_length"), ({"attributes": ("drama",)},
        "item_attributes"), ({"attributes": ()}, "item_attributes"),
    ):  # fmt: skip
        drift = Drift.of("v1", RULES)
        for each in (*listed(2_000, **same), *listed(2_000, 2_000, **{**same, **changed})):  # type: ignore[arg-type]
            drift.add(each, RULES)
        assert [each.measure for each in drift.findings(RULES) if each.drifted] == [measure]
        assert drift.lists == 4_000


def test_hours_are_compared_day_by_day() -> None:
    drift = Drift.of("v1", RULES)

    def day(number: int, hour: int, count: int = 300) -> None:
        for each in range(count):
            drift.add(Observed(False, (20_000 + number) * DAY_MS + hour * HOUR_MS + each), RULES)

    for number in range(3):
        day(number, 8)
    assert not of(drift.findings(RULES), "hour_of_day").drifted
    day(3, 20)
    assert not of(drift.findings(RULES), "hour_of_day").drifted  # the day is not over
    day(5, 20)
    assert of(drift.findings(RULES), "hour_of_day").drifted


def test_unknown_values_are_left_out() -> None:
    drift = Drift.of("v1", RULES)
    for each in listed(3_000):
        drift.add(each, RULES)
    found = drift.findings(RULES)
    assert "gathering" in of(found, "calibration").text
    assert of(found, "history_length").text == of(found, "item_attributes").text == "no whole window yet"


def test_state_is_bounded_and_continues_after_it_was_stored() -> None:
    drift = Drift.of("v1", RULES)
    rng = np.random.default_rng(0)
    for number in range(5_000):
        attributes = (f"attribute {rng.integers(10_000)}",) if number % 2 else None
        drift.add(Observed(bool(number % 4), number * 60_000, 0.5, int(rng.integers(2**20)), attributes), RULES)
    stored = msgspec.json.encode(drift)
    assert len(stored) < 10_000
    assert msgspec.json.decode(stored, type=Drift).findings(RULES) == drift.findings(RULES)


@pytest.mark.parametrize("seed", range(2))
def test_flip_of_taste_is_found_and_nothing_before_it(seed: int) -> None:
    rules = Rules(drift_lists=2_000)
    after, measure = alarmed(seed, 4_000, Change(flipped=1.0), rules, at=2_700)
    assert after is not None
    assert 0 < after <= 1_000
    assert measure in {"hit_ratio", "calibration"}
    assert alarmed(seed, 4_000, NOTHING, rules) == (None, "")
