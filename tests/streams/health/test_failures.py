"""What is said of the errors that make a partition start over."""

import pytest
from aiokafka.errors import NotLeaderForPartitionError

from streams.errors import StoreFailed, Superseded
from streams.health.failures import cause_of, describe

DISK = StoreFailed("the disk of the state in /state is full; make room on it")
BROKER = NotLeaderForPartitionError("of ann")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (DISK, "disk"),
        (BROKER, "brokers"),
        (Superseded("gone"), "other"),
        (ExceptionGroup("", [BROKER, ExceptionGroup("", [DISK])]), "disk"),
        (ExceptionGroup("", [ValueError(), BROKER]), "brokers"),
    ],
)
def test_the_cause_is_the_worst_of_those_that_came_together(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause


def test_errors_of_our_own_are_told_in_full_and_others_by_their_kind_alone() -> None:
    told = describe(ExceptionGroup("", [BROKER, DISK]))
    assert told == ["NotLeaderForPartitionError", f"StoreFailed: {DISK}"]
