"""The time left is what the rate of late says, and nothing where no rate is known."""

import pytest

from streams.serving.rate import Rate, spoken


def test_the_rate_is_that_of_late() -> None:
    progress = Rate()
    for second in range(60):
        progress.at(float(second), 10.0 * second)
    assert progress.seconds_left(100) == pytest.approx(10.0)
    for second in range(60, 120):
        progress.at(float(second), 600.0 + 2.0 * (second - 60))
    assert progress.seconds_left(100) == pytest.approx(50.0, rel=0.05)
    assert len(progress._marks) < 40


def test_many_looks_a_second_are_one_mark() -> None:
    progress = Rate()
    for look in range(1_000):
        progress.at(look / 100, look / 10)
    assert progress.a_second() == pytest.approx(10.0)
    assert len(progress._marks) < 13


def test_no_time_is_told_before_it_is_known_nor_when_nothing_moves() -> None:
    progress = Rate()
    assert progress.seconds_left(5) is None
    progress.at(0.0, 0)
    progress.at(1.0, 9)
    assert progress.seconds_left(5) is None
    assert progress.seconds_left(0) == 0.0
    for second in range(40):
        progress.at(2.0 + second, 9)
    assert progress.seconds_left(5) is None


def test_a_rate_begins_when_something_is_done() -> None:
    progress = Rate()
    for second in range(100):
        progress.at(float(second), 0)
    for second in range(6):
        progress.at(100.0 + second, 10.0 * (second + 1))
    assert progress.seconds_left(100) == pytest.approx(10.0)
    assert progress.a_second() == pytest.approx(10.0)


def test_a_job_that_starts_over_has_no_rate_of_before() -> None:
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
def test_time_left_is_told_as_people_say_it(seconds: float | None, says: str) -> None:
    assert spoken(seconds) == says
