"""Forwards erasure orders from `ouzel.privacy` to `ouzel.events`, into the user's own stream. Pure.

An order needs a place among the user's events, and two topics have no common order. So a worker that reads an order
writes it to `ouzel.events` under the user's key, as an event of kind `erase`; the owner of that partition executes it
at that place. After a crash, or with two owners in a rebalance, it may be written twice: the second has the same id and
clears nothing.
"""

from collections.abc import Iterable

from schemas.codec import decode_order, encode
from schemas.dead_letters import DeadLetter
from schemas.events import Event, EventKind
from schemas.topics import EVENTS, PRIVACY
from streams.dead_letters import Placed, dead_letter
from streams.kafka.publisher import Output
from streams.unreadable import Unreadable


def forward(records: Iterable[Placed], now_ms: int) -> tuple[list[Output], list[DeadLetter]]:
    """The `erase` events for these records of `ouzel.privacy`, and dead letters for invalid ones.

    An event has the worker's time: an order counts from when it is read, whatever clock its producer used. A record
    without a value clears an order from the topic and requests nothing.
    """
    outputs: list[Output] = []
    dead: list[DeadLetter] = []
    for record in records:
        if record.value is None and not isinstance(record, Unreadable):
            continue
        try:
            order = decode_order(record.value, key=record.key)
        except Exception as error:
            dead.append(dead_letter(PRIVACY.name, record.partition, record, now_ms, error))
            continue
        erase = Event(id=order.id, user=order.user, kind=EventKind.ERASE, ts=now_ms)
        outputs.append(Output(EVENTS.name, order.user.encode(), encode(erase)))
    return outputs, dead
