"""The schedule is repeatable from its seed, has every kind, and stays within bounds."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.running import SESSION_FAULTS, plan
from tests.faults.schedule import HOLDS, MAX_BURST, MAX_DELAY, MAX_PAUSE, NEED_KAFKA, Kind, schedule

seeds = st.integers(0, 2**32)
some_kinds = st.sets(st.sampled_from(list(Kind)), min_size=1)


@given(seeds, st.integers(0, 150), some_kinds)
def test_seed_gives_the_same_schedule_whatever_the_order_of_the_kinds(seed: int, count: int, kinds: set[Kind]) -> None:
    assert schedule(seed, count, kinds) == schedule(seed, count, sorted(kinds, reverse=True))


@given(seeds, st.integers(0, 150), some_kinds)
def test_schedule_holds_exactly_the_kinds_given_enough_time(seed: int, count: int, kinds: set[Kind]) -> None:
    faults = schedule(seed, count, kinds)
    drawn = Counter(fault.kind for fault in faults)
    assert len(faults) == count
    assert drawn.keys() <= kinds
    assert len(drawn) == min(count, len(kinds)) or count > len(kinds)
    if count >= len(kinds):
        assert drawn.keys() == kinds


@given(seeds, st.integers(1, 150))
def test_schedule_stays_within_its_bounds(seed: int, count: int) -> None:
    for number, fault in enumerate(schedule(seed, count, list(Kind))):
        low, high = HOLDS[fault.kind]
        assert fault.number == number
        assert 0 <= fault.burst <= MAX_BURST
        assert 0 <= fault.delay <= MAX_DELAY
        assert low <= fault.hold <= high
        assert fault.again in (0, 1, 2)
        assert 0 <= fault.pause <= MAX_PAUSE


def test_another_seed_is_another_schedule() -> None:
    assert schedule(1, 50, list(Kind)) != schedule(2, 50, list(Kind))


def test_schedule_without_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        schedule(1, 5, ())


@given(seeds, st.integers(1, 300), st.lists(st.sampled_from(("embedded", "kafka")), min_size=1, unique=True))
def test_faults_are_shared_among_the_brokers_by_what_each_can_do(seed: int, count: int, brokers: list[str]) -> None:
    sessions = plan(seed, count, brokers, Kind)
    assert sum(len(faults) for _, faults in sessions) == count
    assert all(0 < len(faults) <= SESSION_FAULTS for _, faults in sessions)
    assert not any(fault.kind in NEED_KAFKA for broker, faults in sessions if broker != "kafka" for fault in faults)
