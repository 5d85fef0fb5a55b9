"""The time left follows from the recent rate, and is unknown without one."""

import pytest

from streams.serving.rate import Rate, spoken


def test_rate_is_the_recent_one() -> None:
    progress = Rate()
    for second in range(60):
        progress.at(float(second), 10.0 * second)
    assert progress.seconds_left(100) == pytest.approx(10.0)
    for second in range(60, 120):
        progress.at(float(second), 600.0 + 2.0 * (second - 60))
    assert progress.seconds_left(100) == pytest.approx(50.0, rel=0.05)
    assert len(progress._marks) < 40


def test_many_calls_per_second_are_one_mark() -> None:
    progress = Rate()
    for look in range(1_000):
        progress.at(look / 100, look / 10)
    assert progress.a_second() == pytest.approx(10.0)
    assert len(progress._marks) < 13


def test_time_left_is_unknown_at_first_and_without_progress() -> None:
    progress = Rate()
    assert progress.seconds_left(5) is None
    progress.at(0.0, 0)
    progress.at(1.0, 9)
    assert progress.seconds_left(5) is None
    assert progress.seconds_left(0) == 0.0
    for second in range(40):
        progress.at(2.0 + second, 9)
    assert progress.seconds_left(5) is None


def test_rate_begins_with_the_first_progress() -> None:
    progress = Rate()
    for second in range(100):
        progress.at(float(second), 0)
    for second in range(6):
        progress.at(100.0 + second, 10.0 * (second + 1))
    assert progress.seconds_left(100) == pytest.approx(10.0)
    assert progress.a_second() == pytest.approx(10.0)


def test_restarted_job_loses_its_earlier_rate() -> None:
    progress = Rate()
    for second in range(10):
        progress.at(float(second), 10.0 * second)
    progress.at(10.0, 0.0)
    assert progress.seconds_left(5) is None


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (None, "time left unknown"),
        (0.4, "about 5 s left"),
        (42, "about 40 s left"),
        (61, "about 1 min left"),
        (130, "about 2 min left"),
        (7_200, "about 2.0 h left"),
    ],
)
def test_time_left_is_rounded_in_words(seconds: float | None, says: str) -> None:
    assert spoken(seconds) == says
