"""Dead letters in the log: each kind at once, then once a minute with their number, and no user's name."""

import logging

import pytest

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused
from schemas.limits import MAX_DETAIL_LENGTH, MAX_ORIGINAL_BYTES
from streams.dead_letters import dead_letter
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.rejections import Rejections
from streams.unreadable import Unreadable, original


class Now:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def letter(offset: int, code: Refusal = Refusal.INVALID, topic: str = "ouzel.events") -> DeadLetter:
    return DeadLetter(code=code, detail="about ann", topic=topic, partition=1, offset=offset, ts=1, key=b"ann")


def test_each_kind_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now, metrics = Now(), Metrics()
    rejections = Rejections(metrics, RateLimitedLog(logging.getLogger("streams.rejections"), now))
    rejections.note([letter(1)])
    assert "ouzel.events: refused as invalid, at partition 1 offset 1." in caplog.text
    for offset in range(2, 50):
        rejections.note([letter(offset), letter(offset)])
    rejections.note([letter(50, topic="ouzel.items"), letter(51, Refusal.FUTURE)])
    rejections.flush()
    assert len(caplog.records) == 3
    now.now += 60
    rejections.flush()
    assert len(caplog.records) == 4
    assert "offset 49" in caplog.records[-1].getMessage()
    assert "the last of 96" in caplog.records[-1].getMessage()
    now.now += 60
    rejections.flush()
    assert len(caplog.records) == 4, "nothing is new"
    rejections.note([letter(60)])
    rejections.note([letter(61)])
    rejections.flush(all_of_it=True)
    assert "offset 61" in caplog.records[-1].getMessage(), "lines that were held back are logged at the end"
    assert "ann" not in caplog.text
    assert metrics.registry.get_sample_value("ouzel_dead_letters_total", {"code": "invalid"}) == 100


class Record:
    offset, partition = 7, 0
    headers: tuple[tuple[str, object], ...] = ()

    def __init__(self, key: bytes | None, value: bytes | None) -> None:
        self.key, self.value = key, value


@pytest.mark.parametrize("name", ["key", "value"])
def test_oversized_key_or_value_is_left_out(name: str) -> None:
    parts: dict[str, bytes | None] = {"key": b"k", "value": b"v", name: b"z" * (MAX_ORIGINAL_BYTES + 1)}
    error = Refused(Refusal.KEY_MISMATCH, "x" * MAX_DETAIL_LENGTH)
    found = dead_letter("ouzel.items", 0, Record(**parts), 1, error)
    assert (found.code, getattr(found, name)) == (Refusal.TOO_LARGE, None)
    assert found.detail.endswith(f"({name} of {MAX_ORIGINAL_BYTES + 1} bytes, left out)")
    assert len(found.detail) <= MAX_DETAIL_LENGTH
    assert {found.key, found.value} == {None, b"k", b"v"} - {b"k" if name == "key" else b"v"}


def test_unreadable_record_is_found_in_a_copy_of_its_fields() -> None:
    unread = Unreadable("ouzel.items", 0, 3, 5, "it is damaged")
    copy = Record(None, None)
    for headers in (unread.headers, dict(unread.headers)):
        copy.headers = headers  # type: ignore[assignment]  # Faust has both
        assert original(copy) is unread
    copy.headers = (("unreadable", b"a producer's"),)
    assert original(copy) is copy
    found = dead_letter("ouzel.items", 0, unread, 1, ValueError())
    assert (found.code, found.offset, found.detail) == (
        Refusal.UNREADABLE,
        3,
        "the records at offsets 3 to 5 cannot be read: it is damaged",
    )
