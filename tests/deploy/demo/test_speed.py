"""The demo is as fast as lists keep up: it speeds up while they come in time, and slows down when they fall behind."""

from collections import deque

import pytest

from deploy.demo.speed import BEHIND_MS, FASTEST, FIRST, SHARE, SLOWEST, AdaptivePace, SteadyPace
from schemas.recommendations import Degraded
from tests.deploy.replay.test_terminal import made


def after(pace: AdaptivePace, count: int, ms: float, degraded: Degraded | None = None) -> float:
    for _ in range(count):
        pace.came(made("ann", "i1", ms=ms, degraded=degraded))
    return pace.per_second


def test_pace_rises_to_the_measured_capacity() -> None:
    pace = AdaptivePace()
    assert pace.gap(0, 0) == 1 / FIRST
    assert FIRST < after(pace, 10, 67.0) < SHARE / 0.067
    assert after(pace, 90, 67.0) == pytest.approx(SHARE / 0.067)
    assert after(pace, 90, 5.0) == FASTEST
    assert pace.slowed == 0


@pytest.mark.parametrize(
    ("ms", "degraded"), [(BEHIND_MS + 1, None), (10.0, Degraded.DEADLINE), (10.0, Degraded.OVERLOADED)]
)
def test_pace_falls_while_lists_are_late_and_recovers(ms: float, degraded: Degraded | None) -> None:
    pace = AdaptivePace()
    fast = after(pace, 100, 40.0)
    assert after(pace, 5, ms, degraded) < fast
    assert after(pace, 100, ms, degraded) == SLOWEST
    assert pace.slowed > 1
    assert after(pace, 100, 40.0) == fast


def test_one_late_list_among_many_changes_nothing() -> None:
    pace = AdaptivePace()
    fast = after(pace, 100, 40.0)
    after(pace, 1, 900.0)
    assert after(pace, 30, 40.0) == fast


def test_pace_ignores_failures_that_are_no_lack_of_time() -> None:
    pace = AdaptivePace()
    assert after(pace, 30, 40.0, Degraded.UNAVAILABLE) > FIRST


@pytest.mark.parametrize("service_ms", [15.0, 60.0, 150.0])
def test_serial_server_is_never_overloaded_for_long(service_ms: float) -> None:
    """One list at a time, and now and then the machine is busy with something else for a second."""
    pace, now, free = AdaptivePace(), 0.0, 0.0
    took: deque[float] = deque()
    while now < 300_000.0:
        stolen = 1_000.0 if int(now / 60_000.0) != int((now - 1_000.0 / pace.per_second) / 60_000.0) else 0.0
        free = max(free, now) + service_ms + stolen
        took.append(free - now)
        after(pace, 1, free - now)
        now += 1_000.0 * pace.gap(0, 0)
    late = sorted(took)[int(0.95 * len(took))]
    assert late < 2 * service_ms + 200
    assert len(took) > 300 * min(FASTEST, SHARE / service_ms * 1_000) * 0.4


def test_requested_pace_is_constant() -> None:
    pace = SteadyPace(7.0)
    pace.came(made("ann", "i1", ms=5_000.0))
    assert pace.gap(0, 0) == pytest.approx(1 / 7)
