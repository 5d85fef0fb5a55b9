"""What became of the versions that were tried, and how the present one compares."""

from collections import Counter

import pytest

from schemas.confidence import Confidence
from schemas.models import Role
from streams.serving.trials import MAX_SEEN
from tests.support.version_records import comparison, scripted, status


def test_difference_has_an_interval_that_is_valid_at_any_time() -> None:
    versions = scripted()
    expected = Confidence(-1.0, 1.0)
    for at in range(40):
        expected.add(float(at in (1, 2)))
    assert versions.pairs == 40
    assert versions.hits == Counter(champion=4, challenger=6)
    assert versions.difference == pytest.approx(2 / 40)
    assert versions.bounds == expected.bounds
    assert versions.figures()["pairs"] == 40


def test_repeats_and_comparisons_of_other_versions_change_nothing() -> None:
    versions = scripted()
    versions.take_comparison(comparison(0, 2, 4, (False, True)))
    versions.take_comparison(comparison(90, 2, 3, (False, True)))
    versions.take_comparison(comparison(91, 1, 4, (False, True)))
    assert versions.pairs == 40


def test_ids_of_comparisons_are_bounded() -> None:
    versions = scripted()
    for at in range(100, 100 + MAX_SEEN):
        versions.take_comparison(comparison(at, 2, 4, (False, False)))
    assert len(versions._seen) == MAX_SEEN
    assert versions.pairs == 40 + MAX_SEEN


def test_role_of_a_later_release_is_ignored() -> None:
    versions = scripted()
    versions.take_status(status(9, "interleaved"))
    assert versions.made == 4
    assert versions.lineup.ignored == 1


def test_version_at_its_gates_leaves_the_present_comparison_as_it_is() -> None:
    versions = scripted()
    versions.take_status(status(5, Role.MADE))
    assert versions.pairs == 40
    assert versions.trained is not None
    assert versions.lineup.challenger is not None
    assert (versions.trained.number, versions.lineup.challenger.number) == (5, 4)
