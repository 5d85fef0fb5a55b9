import json

import msgpack
import pytest

from schemas.codec import decode_event
from schemas.errors import Refusal, Refused
from schemas.events import Event, EventKind

NOW = 1_700_000_000_000
LIKE = {"v": 1, "id": "e1", "user": "ann", "kind": "like", "ts": NOW, "item": "i1"}


@pytest.mark.parametrize("dump", [msgpack.packb, lambda value: json.dumps(value).encode()])
def test_events_made_by_other_encoders_decode(dump):
    event = decode_event(dump(LIKE), key=b"ann", now_ms=NOW)
    assert event == Event(id="e1", user="ann", kind=EventKind.LIKE, ts=NOW, item="i1")


def test_an_event_for_somebody_else_is_refused():
    with pytest.raises(Refused) as refused:
        decode_event(msgpack.packb(LIKE), key=b"bob", now_ms=NOW)
    assert refused.value.code is Refusal.KEY_MISMATCH
