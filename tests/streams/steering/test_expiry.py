"""How long sentences say that they hold."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.steering.expiry import DAY_MS, HOUR_MS, MAX_DAYS, expires

WEDNESDAY = int(datetime(2026, 11, 25, 18, 30, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("sentence", "span"),
    [
        ("less horror this week", 7 * DAY_MS),
        ("Something light TONIGHT", 12 * HOUR_MS),
        ("no news today", DAY_MS),
        ("jazz for two hours", 2 * HOUR_MS),
        ("jazz for the next hour", HOUR_MS),
        ("no thrillers for 10 days", 10 * DAY_MS),
        ("no westerns for the next few weeks", 21 * DAY_MS),
        ("no spoilers for a couple of months", 60 * DAY_MS),
        ("cartoons at the weekend", 3 * DAY_MS),
        ("war films are too much for me this month", 30 * DAY_MS),
        ("这周少看恐怖片", 7 * DAY_MS),
        ("今晚想听爵士乐", 12 * HOUR_MS),
        ("nothing for 999 years", MAX_DAYS * DAY_MS),
        ("less horror", None),
        ("a film for my kids", None),
        ("I love the sound of the next room", None),
        ("a week in the mountains", None),
    ],
)
def test_span_is_that_of_the_words(sentence: str, span: int | None) -> None:
    found = expires(sentence, WEDNESDAY)
    assert found == (None if span is None else WEDNESDAY + span)


@pytest.mark.parametrize(
    ("sentence", "end"),
    [
        ("no dramas until Friday", datetime(2026, 11, 28, tzinfo=UTC)),
        ("no dramas until wednesday", datetime(2026, 12, 3, tzinfo=UTC)),
        ("only short ones till tomorrow", datetime(2026, 11, 27, tzinfo=UTC)),
    ],
)
def test_named_day_ends_at_midnight(sentence: str, end: datetime) -> None:
    assert expires(sentence, WEDNESDAY) == end.timestamp() * 1000


@given(st.text(max_size=280), st.integers(0, 2**42))
def test_any_sentence_ends_after_it_begins_and_within_a_year(sentence: str, ts: int) -> None:
    found = expires(sentence, ts)
    assert found is None or ts < found <= ts + MAX_DAYS * DAY_MS
