"""What the topics tell of versions: the present comparison, and what became of each version."""

from collections import Counter
from typing import NamedTuple

import pytest

from deploy.replay.versions import compared, last_verdict, live, tried
from deploy.replay.versions_watch import take
from schemas.codec import encode
from schemas.confidence import Confidence
from schemas.models import Comparison, ModelStatus, Role
from schemas.topics import COMPARISONS, MODELS
from streams.serving.trials import MAX_SEEN, Trials


def status(number: int, role: str, *, share: float = 0.0, reason: str = "") -> ModelStatus:
    return ModelStatus(
        model="scorer", version=f"v{number}", role=role, ts=number, number=number, share=share, reason=reason
    )


def comparison(at: int, champion: int, challenger: int, hits: tuple[bool, bool]) -> Comparison:
    return Comparison(
        id=f"c{at}",
        list=f"l{at}",
        scene="default",
        ts=at,
        champion=f"v{champion}",
        challenger=f"v{challenger}",
        champion_hit=hits[0],
        challenger_hit=hits[1],
    )


def scripted() -> Trials:
    """Version 2 was promoted and version 3 withdrawn; version 4 is a canary, better in 2 of 40 likes."""
    versions = Trials()
    for one in (
        status(1, Role.CHAMPION),
        status(2, Role.SHADOW),
        status(2, Role.CHAMPION, reason="+0.020 in 900 likes"),
        status(1, Role.RETIRED),
        status(3, Role.SHADOW),
        status(3, Role.RETIRED, reason="-0.030 in 1,200 likes"),
        status(4, Role.SHADOW),
        status(4, Role.CANARY, share=0.1),
    ):
        versions.take_status(one)
    for at in range(40):
        versions.take_comparison(comparison(at, 2, 4, (at % 10 == 0, at % 10 == 0 or at in (1, 2))))
    return versions


def test_no_version_is_known_at_first() -> None:
    versions = Trials()
    assert not versions.known
    assert (live(versions), tried(versions), compared(versions)) == (
        "the first version",
        "no version is tried",
        "",
    )
    assert last_verdict(versions) == "no verdict yet"
    assert versions.figures()["difference"] is None


def test_versions_are_counted_by_what_became_of_them() -> None:
    versions = scripted()
    assert (versions.made, versions.promoted, versions.withdrawn, versions.rolled_back) == (4, 1, 1, 0)
    assert live(versions) == "version 2 (1 promoted, 1 withdrawn)"
    assert tried(versions) == "version 4, canary for 10%"
    assert last_verdict(versions) == "version 3 withdrawn: -0.030 in 1,200 likes"


def test_difference_has_an_interval_that_is_valid_at_any_time() -> None:
    versions = scripted()
    expected = Confidence(-1.0, 1.0)
    for at in range(40):
        expected.add(float(at in (1, 2)))
    assert versions.pairs == 40
    assert versions.hits == Counter(champion=4, challenger=6)
    assert versions.difference == pytest.approx(2 / 40)
    assert versions.bounds == expected.bounds
    low, high = expected.bounds
    assert compared(versions) == f"+0.050 ({low:+.3f} to {high:+.3f}) in 40 likes"
    assert versions.figures()["pairs"] == 40


def test_comparison_begins_again_with_each_step_and_each_verdict() -> None:
    versions = scripted()
    versions.take_status(status(4, Role.CANARY, share=0.2))
    assert versions.pairs == 40, "a larger share is the same step"
    versions.take_status(status(4, Role.CHAMPION))
    assert (versions.pairs, compared(versions)) == (0, "")
    versions.take_status(status(5, Role.SHADOW))
    assert compared(versions) == "no like compared yet"
    assert versions.bounds == (-1.0, 1.0)


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


def test_return_to_an_earlier_champion_is_a_rollback() -> None:
    versions = scripted()
    versions.take_status(status(1, Role.CHAMPION, reason="by hand"))
    assert (versions.promoted, versions.rolled_back) == (1, 1)
    assert last_verdict(versions) == "version 1 is live again: by hand"


def test_role_of_a_later_release_is_ignored() -> None:
    versions = scripted()
    versions.take_status(status(9, "interleaved"))
    assert versions.made == 4
    assert versions.lineup.ignored == 1


class Record(NamedTuple):
    topic: str
    value: bytes | None


def test_records_of_both_topics_are_taken_in() -> None:
    versions = Trials()
    for message in (status(1, Role.CHAMPION), status(2, Role.SHADOW)):
        take(Record(MODELS.name, encode(message)), versions)
    take(Record(MODELS.name, None), versions)
    take(Record(COMPARISONS.name, encode(comparison(0, 1, 2, (True, False)))), versions)
    assert (versions.made, versions.pairs, versions.difference) == (2, 1, -1.0)
