"""Descriptions of the errors that make a partition start over."""

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
def test_cause_of_a_group_is_its_worst_error(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause


def test_own_errors_are_described_in_full_and_others_by_type_only() -> None:
    told = describe(ExceptionGroup("", [BROKER, DISK]))
    assert told == ["NotLeaderForPartitionError", f"StoreFailed: {DISK}"]
