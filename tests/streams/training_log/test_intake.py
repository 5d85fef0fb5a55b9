"""The log takes what workers take, leaves out orders, and has no user id where there is a key."""

import msgspec
import pytest

from schemas.codec import encode
from schemas.errors import Refusal
from schemas.events import EventKind
from schemas.limits import MAX_CLOCK_SKEW_MS
from schemas.topics import EVENTS, FEEDBACK
from streams.privacy.pseudonyms import alias_with, same
from streams.training_log.intake import ORDER, Intake
from streams.training_log.tables import Row
from streams.unreadable import Unreadable
from tests.streams.training_log.world import NOW, Record, event, feedback_record, record

ALIAS = alias_with("a key of the test's own")
PLAIN, KEYED = Intake(same, 0), Intake(ALIAS, 0)


def test_accepted_event_is_a_row_with_its_place() -> None:
    assert PLAIN.row(EVENTS.name, record(7), NOW) == Row(0, 7, NOW, event(7))
    json = record(7)._replace(value=msgspec.json.encode(event(7)))
    assert PLAIN.row(EVENTS.name, json, NOW) == Row(0, 7, NOW, event(7))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (record(1)._replace(key=b"bob"), Refusal.KEY_MISMATCH),
        (record(1)._replace(value=b"\x81"), Refusal.MALFORMED),
        (record(1)._replace(value=None), Refusal.EMPTY),
        (record(1, item=None), Refusal.INVALID),
        (record(1, kind=EventKind.RATE), Refusal.INVALID),
        (Unreadable("ouzel.events", 0, 1, 4, "damaged"), Refusal.UNREADABLE),
    ],
)
def test_event_that_workers_refuse_is_left_out_with_their_code(given: Record, code: Refusal) -> None:
    assert PLAIN.row(EVENTS.name, given, NOW) == code.value


def test_event_of_the_future_is_left_out_however_late_it_is_read() -> None:
    future = record(1, ts=NOW + MAX_CLOCK_SKEW_MS + 1)
    assert PLAIN.row(EVENTS.name, future, NOW) == Refusal.FUTURE.value
    assert PLAIN.row(EVENTS.name, future, NOW + 86_400_000) == Refusal.FUTURE.value
    # A producer whose clock is ahead stamps the record too: the log's clock decides, as the worker's did.
    assert PLAIN.row(EVENTS.name, future._replace(timestamp=future.timestamp * 2), NOW) == Refusal.FUTURE.value


def test_event_from_before_the_oldest_day_is_left_out() -> None:
    assert Intake(same, NOW + 1).row(EVENTS.name, record(1), NOW) == Refusal.INVALID.value


def test_erase_event_is_left_out() -> None:
    assert PLAIN.row(EVENTS.name, record(1, kind=EventKind.ERASE, item=None), NOW) == ORDER


def test_pseudonym_replaces_the_user_in_events() -> None:
    row = KEYED.row(EVENTS.name, record(1), NOW)
    assert isinstance(row, Row)
    assert row.message == event(1, ALIAS("ann"))


def test_feedback_keeps_the_pseudonym_that_workers_gave_it() -> None:
    row = KEYED.row(FEEDBACK.name, feedback_record(1, ALIAS("ann")), NOW)
    assert isinstance(row, Row)
    assert row.message.user == ALIAS("ann")


def test_feedback_of_a_worker_without_the_key_gets_the_pseudonym() -> None:
    row = KEYED.row(FEEDBACK.name, feedback_record(1, "ann"), NOW)
    assert isinstance(row, Row)
    assert row.message.user == ALIAS("ann")
    assert PLAIN.row(FEEDBACK.name, feedback_record(1, "ann"), NOW) != row


def test_malformed_feedback_is_left_out() -> None:
    assert PLAIN.row(FEEDBACK.name, Record(1, b"ann", encode(event(1))), NOW) == Refusal.INVALID.value
