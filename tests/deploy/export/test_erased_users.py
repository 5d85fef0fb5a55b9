"""Lists from before an erasure of their user are covered by it, and later ones are not."""

import pytest

from deploy.export.erased_users import WAIT_MS, ErasedUsers
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.recommendations import Recommendation
from streams.unreadable import Unreadable
from tests.deploy.export.records import made, record
from tests.schemas.examples import NOW

LIST = made("ann", "a")
"""Of partition 3 and offset 41, at `NOW`."""


def receipt(ts: int, partition: int | None = 3, offset: int | None = 41, user: str = "ann") -> ErasureReceipt:
    return ErasureReceipt(order="o", user=user, ts=ts, cleared=(), partition=partition, offset=offset)


def order(ts: int, order_id: str = "o", user: str = "ann") -> ErasureOrder:
    return ErasureOrder(id=order_id, user=user, ts=ts)


def covered(*messages: ErasureOrder | ErasureReceipt, timestamp: int = 0, of: Recommendation = LIST) -> bool:
    erased = ErasedUsers()
    for each in messages:
        take = erased.order if isinstance(each, ErasureOrder) else erased.receipt
        take(record(each.user, each, timestamp=timestamp))
    assert erased.unreadable == 0
    return erased.covers(of)


@pytest.mark.parametrize(
    ("found", "is_covered"),
    [
        (receipt(NOW - 1, offset=40), False),
        (receipt(NOW - 1, offset=41), True),
        (receipt(NOW - 1, offset=90), True),
        (receipt(NOW - 1, partition=2, offset=90), False),
        (receipt(NOW - 1, partition=None, offset=None), False),
        (receipt(NOW, partition=None, offset=None), True),
        (receipt(NOW + 1, offset=40), True),
        (receipt(NOW + 1, offset=90, user="bob"), False),
    ],
    ids=str,
)
def test_receipt_covers_lists_from_before_it(found: ErasureReceipt, is_covered: bool) -> None:
    assert covered(found) is is_covered


@pytest.mark.parametrize(
    ("ts", "is_covered"), [(NOW + 1, True), (NOW - WAIT_MS, True), (NOW - WAIT_MS - 1, False)], ids=str
)
def test_order_without_a_receipt_covers_lists_until_a_day_later(ts: int, is_covered: bool) -> None:
    assert covered(order(ts)) is is_covered
    assert covered(order(0), timestamp=ts) is is_covered, "the clock of its producer was behind"
    assert not covered(order(ts, user="bob"))


def test_receipt_of_an_order_says_alone_what_it_covers() -> None:
    assert not covered(order(NOW - 1), receipt(NOW - 1, offset=40)), "the user returned"
    assert covered(order(NOW - 1, "another"), receipt(NOW - 1, offset=40))


def test_record_without_a_value_orders_nothing() -> None:
    erased = ErasedUsers()
    erased.order(record("ann", None))
    assert not erased.covers(LIST)
    assert erased.unreadable == 0


def test_unreadable_orders_and_receipts_are_counted() -> None:
    erased = ErasedUsers()
    for take in (erased.order, erased.receipt):
        take(Unreadable("ouzel.privacy", 0, 3, 4, "damaged"))
        take(record("ann", b"nonsense"))
    erased.order(record("bob", order(NOW)))
    assert erased.unreadable == 7
