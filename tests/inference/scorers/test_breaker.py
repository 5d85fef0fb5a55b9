import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.scorers.breaker import Breaker, State


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(failures=3, rest=1.0, max_rest=4.0)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_breaker_opens_only_after_consecutive_failures() -> None:
    breaker = Breaker(failures=3, rest=1.0)
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) is State.CLOSED
    assert opened().state(0.5) is State.OPEN
    assert not opened().allow(0.5)


def test_breaker_lets_one_trial_through_after_the_pause() -> None:
    breaker = opened()
    assert breaker.allow(1.0)
    assert not breaker.allow(1.1)
    breaker.succeeded()
    assert breaker.state(1.2) is State.CLOSED
    assert breaker.allow(1.2)


def test_trial_without_an_outcome_does_not_block_for_ever() -> None:
    breaker = opened()
    assert breaker.allow(1.0)
    assert not breaker.allow(1.9)
    assert breaker.allow(2.0)


def test_failed_trials_double_the_pause_up_to_its_bound() -> None:
    breaker = opened()
    now = 0.0
    for rest in (1.0, 2.0, 4.0, 4.0):
        assert not breaker.allow(now + rest - 0.01)
        now += rest
        assert breaker.allow(now)
        breaker.failed(now)


def test_late_failures_of_earlier_requests_do_not_prolong_the_pause() -> None:
    breaker = opened()
    breaker.failed(0.9)
    assert breaker.allow(1.0)


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=50))
def test_recovered_server_is_found_within_the_longest_pause(steps: list[tuple[float, bool]]) -> None:
    breaker, now = Breaker(failures=2, rest=0.5, max_rest=4.0), 0.0
    for wait, works in steps:
        now += wait
        if breaker.allow(now):
            breaker.succeeded() if works else breaker.failed(now)
    assert breaker.allow(now + 4.001)  # a rounding beyond the rest


@pytest.mark.parametrize("values", [{"failures": 0}, {"rest": 0}, {"rest": 2.0, "max_rest": 1.0}])
def test_invalid_values_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rest"):
        Breaker(**values)  # type: ignore[arg-type]
