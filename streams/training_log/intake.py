"""Which records the training log takes, and in which form. Pure.

Each accepted record is one row, by the checks that workers make. A producer's repeat of an event is a record too and
stays a row: `streams.training_log.reading` drops it. Left out, and counted:

- what workers refuse and send to the dead letters. A worker compares an event's time with its clock when it reads the
  event; the log compares it with its clock, or with the record's time if that is earlier, because it may read later.
- `erase` events: they are orders, not behaviour, and hold a user's id.

With a key, the log has no user id: events get the pseudonym. Feedback comes with it, and gets it here if a worker
without the key published it.
"""

import re
from typing import Any

import msgspec

from schemas.codec import decode, decode_event
from schemas.errors import Refusal, Refused
from schemas.events import Event, EventKind
from schemas.feedback import Feedback
from schemas.topics import EVENTS
from streams.privacy.pseudonyms import Alias, same
from streams.training_log.tables import Row
from streams.unreadable import Unreadable

ORDER = "order"
"""Why an `erase` event is left out."""

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")


class Intake:
    """Turns records into rows. `accepted_from_ms` is the workers' oldest accepted time of an event."""

    def __init__(self, alias: Alias, accepted_from_ms: int) -> None:
        self._alias = alias
        self._accepted_from_ms = accepted_from_ms

    def names(self, user: str) -> frozenset[str]:
        """The names that a user may have in the log."""
        return frozenset((user, self._alias(user)))

    def row(self, topic: str, record: Any, now_ms: int) -> Row[Any] | str:
        """The row of a record, or the code of the reason why it is left out: a `Refusal`, or `ORDER`."""
        if isinstance(record, Unreadable):
            return record.code.value
        try:
            message = self._event(record, now_ms) if topic == EVENTS.name else self._feedback(record)
        except Refused as refused:
            return refused.code.value
        except Exception:
            return Refusal.FAILED.value  # as the worker, which sends it to the dead letters with this code
        if message is None:
            return ORDER
        return Row(record.partition, record.offset, record.timestamp, message)

    def _event(self, record: Any, now_ms: int) -> Event | None:
        now = min(now_ms, record.timestamp) if record.timestamp > 0 else now_ms
        event = decode_event(record.value, key=record.key, now_ms=now, accepted_from_ms=self._accepted_from_ms)
        if event.kind is EventKind.ERASE:
            return None
        name = self._alias(event.user)
        return event if name == event.user else msgspec.structs.replace(event, user=name)

    def _feedback(self, record: Any) -> Feedback:
        feedback = decode(Feedback, record.value)
        if self._alias is same or _PSEUDONYM.fullmatch(feedback.user):
            return feedback
        return msgspec.structs.replace(feedback, user=self._alias(feedback.user))
