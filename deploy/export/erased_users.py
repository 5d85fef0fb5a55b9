"""Which lists are of users who were erased since. Pure.

A receipt says where in `ouzel.events` an order took effect, and when: a list that answers an earlier event, or was made
by that time, is covered. An order without a receipt is not carried out yet, or its receipt has expired. It covers the
user's lists until a day after it: what was made of the old events while the order waited is covered, and a user who
returns is exported again once the receipt is there.
"""

from typing import Any

from schemas.codec import decode, decode_order
from schemas.errors import Refused
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.recommendations import Recommendation
from streams.unreadable import Unreadable

WAIT_MS = 86_400_000
"""An order without a receipt covers lists until this long after it."""


class ErasedUsers:
    """The orders on `ouzel.privacy` and the receipts on `ouzel.privacy-receipts`.

    `unreadable` counts the records of both that cannot be read: of these the user is not known.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._orders: dict[str, dict[str, int]] = {}
        self._receipts: dict[str, list[ErasureReceipt]] = {}

    def order(self, record: Any) -> None:
        """Take a record of `ouzel.privacy`. One without a value orders nothing."""
        if isinstance(record, Unreadable):
            self.unreadable += record.offset - record.first + 1
        elif record.value is not None:
            try:
                order: ErasureOrder = decode_order(record.value, key=record.key)
            except Refused:
                self.unreadable += 1
            else:
                # The record's time too: the clock of its producer may be behind.
                self._orders.setdefault(order.user, {})[order.id] = max(order.ts, record.timestamp)

    def receipt(self, record: Any) -> None:
        """Take a record of `ouzel.privacy-receipts`."""
        if isinstance(record, Unreadable):
            self.unreadable += record.offset - record.first + 1
            return
        try:
            receipt = decode(ErasureReceipt, record.value)
        except Refused:
            self.unreadable += 1
        else:
            self._receipts.setdefault(receipt.user, []).append(receipt)

    def covers(self, made: Recommendation) -> bool:
        """Whether the list is from before an erasure of its user."""
        receipts = self._receipts.get(made.user, [])
        if any(_carried_out_after(receipt, made) for receipt in receipts):
            return True
        done = {receipt.order for receipt in receipts}
        orders = self._orders.get(made.user, {})
        return any(made.ts <= ts + WAIT_MS for order, ts in orders.items() if order not in done)


def _carried_out_after(receipt: ErasureReceipt, made: Recommendation) -> bool:
    if receipt.partition == made.partition and receipt.offset is not None and made.offset <= receipt.offset:
        return True
    return made.ts <= receipt.ts
