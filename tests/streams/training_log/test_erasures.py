"""Orders cover the rows from before them, by offset where they have one, else by time."""

import pytest

from schemas.events import Event
from schemas.feedback import Feedback
from schemas.privacy import ErasureReceipt
from schemas.topics import EVENTS, FEEDBACK
from streams.training_log.erased import mark_of
from streams.training_log.erasures import Erasures, Order, order_of
from streams.training_log.tables import Row, table_of
from tests.schemas.examples import EXAMPLES
from tests.streams.training_log.world import NOW, event

ANN = frozenset({"ann", "alias"})
EVENTS_TABLE = table_of(
    Event, [Row(2, at, NOW + at, event(at, "bob" if at % 3 == 2 else "ann", ts=NOW)) for at in range(9)]
)
"""Nine events on partition 2; bob's are at 2, 5 and 8."""


def offsets(table) -> list[int]:
    return table["offset"].to_pylist()


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (Order(ANN, 2, 4, 0), [2, 5, 6, 7, 8]),
        (Order(ANN, 2, 8, 0), [2, 5, 8]),
        (Order(frozenset({"alias"}), 2, 8, NOW), list(range(9))),
        (Order(ANN, 1, 8, NOW - 1), list(range(9))),  # another partition: the topic got more of them; time decides
        (Order(ANN, 1, 8, NOW), [2, 5, 8]),
        (Order(ANN, None, None, NOW - 1), list(range(9))),
        (Order(ANN, None, None, NOW), [2, 5, 8]),
    ],
)
def test_order_covers_events_up_to_its_offset_or_time(order: Order, left: list[int]) -> None:
    assert offsets(Erasures([order]).without(EVENTS_TABLE, EVENTS.name)) == left


@pytest.mark.parametrize(
    ("ts", "logged", "gone"), [(NOW, NOW + 9, True), (NOW + 9, NOW, True), (NOW + 1, NOW + 1, False)]
)
def test_order_covers_feedback_recorded_or_dated_before_it(ts: int, logged: int, gone: bool) -> None:
    given = EXAMPLES["feedback.full"]
    assert isinstance(given, Feedback)
    row = Row(0, 5, logged, Feedback(**{**{name: getattr(given, name) for name in given.__struct_fields__}, "ts": ts}))
    left = Erasures([Order(ANN, 2, 4, NOW)]).without(table_of(Feedback, [row]), FEEDBACK.name)
    assert left.num_rows == (0 if gone else 1)


def test_table_without_covered_rows_is_the_same_object() -> None:
    assert Erasures().without(EVENTS_TABLE, EVENTS.name) is EVENTS_TABLE
    assert Erasures([Order(frozenset({"eve"}), 2, 8, NOW)]).without(EVENTS_TABLE, EVENTS.name) is EVENTS_TABLE


def test_orders_before_a_number_can_be_left_out() -> None:
    erasures = Erasures([Order(ANN, 2, 8, 0), Order(frozenset({"bob"}), 2, 8, 0)])
    assert offsets(erasures.without(EVENTS_TABLE, EVENTS.name, since=1)) == [0, 1, 3, 4, 6, 7]
    assert erasures.without(EVENTS_TABLE, EVENTS.name, since=2) is EVENTS_TABLE
    assert offsets(erasures.without(EVENTS_TABLE, EVENTS.name)) == []


def test_receipt_gives_every_name_and_the_later_time() -> None:
    receipt = ErasureReceipt(order="o", user="ann", ts=5, cleared=(), partition=2, offset=4, person="alias")
    assert order_of(receipt, frozenset({"ann"}), 9) == Order(ANN, 2, 4, 9, mark_of(receipt.order))
    bare = ErasureReceipt(order="o", user="ann", ts=5, cleared=())
    assert order_of(bare, frozenset({"ann"}), -1) == Order(frozenset({"ann"}), None, None, 5, mark_of(bare.order))
