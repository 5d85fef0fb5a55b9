"""Token buckets, and values renewed at a bounded rate."""

from hypothesis import given
from hypothesis import strategies as st

from streams.web.rate import Bucket, Buckets, Renewed


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(1, 20))
def test_bucket_never_exceeds_its_rate(gaps: list[float], per_second: float) -> None:
    bucket, now, taken = Bucket(per_second), 100.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= per_second * (1 + now - 100.0) + 1e-6


def test_buckets_are_separate_and_the_most_recent_names_stay() -> None:
    buckets = Buckets(2, most=100)
    assert [buckets.take("a", 1.0) for _ in range(4)] == [True, True, False, False]
    assert buckets.take("b", 1.0)
    for number in range(10_000):
        buckets.take(str(number), 1.0)
        assert not buckets.take("a", 1.0), "a name in use is remembered"
    assert len(buckets) == 100
    assert buckets.take("b", 1.0), "forgotten"


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(1, 20))
def test_renewed_value_is_never_refused_and_never_too_old(gaps: list[float], per_second: float) -> None:
    now, made = 100.0, 0

    def make() -> float:
        nonlocal made
        made += 1
        return now

    renewed = Renewed(make, per_second, lambda: now)
    for gap in gaps:
        now += gap
        assert now - renewed() <= 1 / per_second + 1e-6
    assert made <= per_second * (1 + now - 100.0) + 1e-6
