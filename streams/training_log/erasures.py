"""Which rows of the training log an erasure order covers. Pure.

A receipt says that an order took effect at an offset of the user's partition of `ouzel.events`: the rows of events at
or before it are covered. Feedback has other offsets, so time decides: what was recorded, or says that it happened,
until the receipt was written. That errs on the side of erasing: a reaction of the moment between the order and its
receipt may go too.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.privacy import ErasureReceipt
from schemas.topics import EVENTS
from streams.training_log.erased import Note, mark_of, noted


class Order(NamedTuple):
    """An executed order: the names that the user has in the log, where it took effect, its time in milliseconds, and
    the mark of its id."""

    names: frozenset[str]
    partition: int | None
    offset: int | None
    ts: int
    mark: str = ""


class Erasures:
    """The executed orders, in the sequence of their receipts.

    Bounded by the retention of `ouzel.privacy-receipts`: about 400 bytes for each order.
    """

    def __init__(self, orders: Iterable[Order] = ()) -> None:
        self._orders: list[Order] = []
        self._by_name: dict[str, list[int]] = {}
        for order in orders:
            self.add(order)

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, order: Order) -> None:
        for name in order.names:
            self._by_name.setdefault(name, []).append(len(self._orders))
        self._orders.append(order)

    def names(self, since: int) -> list[str]:
        """The names in the orders from number `since` on."""
        return list({name for order in self._orders[since:] for name in order.names})

    def without(self, table: pa.Table, topic: str, since: int = 0) -> pa.Table:
        """The table without the rows that the orders from number `since` on cover; the same object if there are none.
        Its metadata note which order removed which offsets.

        `table` has rows of one partition of `topic`.
        """
        if since >= len(self._orders):
            return table
        named = table.filter(pc.is_in(table["user"], pa.array(self.names(since), pa.string())))
        if not named.num_rows:
            return table
        columns = (named[name].to_pylist() for name in ("offset", "user", "partition", "ts", "logged"))
        gone: Note = {}
        for offset, user, partition, ts, logged in zip(*columns, strict=True):
            for number in self._by_name[user]:
                order = self._orders[number]
                if number >= since and _covers(order, topic, (partition, offset), min(ts, logged)):
                    gone.setdefault(order.mark, set()).add(offset)
        if not gone:
            return table
        offsets = pa.array(sorted(set().union(*gone.values())), pa.int64())
        return noted(table.filter(pc.invert(pc.is_in(table["offset"], offsets))), gone)


def order_of(receipt: ErasureReceipt, names: frozenset[str], recorded_ms: int) -> Order:
    """The order of a receipt. `names` are those of its user in the log, `recorded_ms` the time of the receipt's
    record."""
    person = {receipt.person} if receipt.person else frozenset()
    ts, mark = max(receipt.ts, recorded_ms), mark_of(receipt.order)
    return Order(names | person, receipt.partition, receipt.offset, ts, mark)


def _covers(order: Order, topic: str, place: tuple[int, int], ts: int) -> bool:
    partition, offset = place
    if topic == EVENTS.name and order.offset is not None and order.partition == partition:
        return offset <= order.offset
    return ts <= order.ts
