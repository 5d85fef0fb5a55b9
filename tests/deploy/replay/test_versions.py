"""What the view says of versions: the present comparison, and what became of each version."""

from typing import NamedTuple

from deploy.replay.versions import compared, last_verdict, live, tried
from deploy.replay.versions_watch import take
from schemas.codec import encode
from schemas.models import Role
from schemas.topics import COMPARISONS, MODELS
from streams.serving.trials import Trials
from tests.support.version_records import comparison, scripted, status


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


def test_comparison_begins_again_with_each_step_and_each_verdict() -> None:
    versions = scripted()
    versions.take_status(status(4, Role.CANARY, share=0.2))
    assert versions.pairs == 40, "a larger share is the same step"
    versions.take_status(status(4, Role.CHAMPION))
    assert (versions.pairs, compared(versions)) == (0, "")
    versions.take_status(status(5, Role.SHADOW))
    assert compared(versions) == "no like compared yet"
    assert versions.bounds == (-1.0, 1.0)


def test_version_at_its_gates_is_named_and_so_is_why_it_failed() -> None:
    versions = Trials()
    versions.take_status(status(1, Role.CHAMPION))
    versions.take_status(status(2, Role.MADE))
    assert (tried(versions), compared(versions)) == ("version 2, at its gates", "")
    versions.take_status(status(2, Role.RETIRED, reason="gate latency"))
    assert tried(versions) == "no version is tried"
    assert last_verdict(versions) == "version 2 failed: gate latency"
    assert (versions.made, versions.withdrawn) == (2, 0)


def test_return_to_an_earlier_champion_is_a_rollback() -> None:
    versions = scripted()
    versions.take_status(status(1, Role.CHAMPION, reason="by hand"))
    assert (versions.promoted, versions.rolled_back) == (1, 1)
    assert last_verdict(versions) == "version 1 is live again: by hand"


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
