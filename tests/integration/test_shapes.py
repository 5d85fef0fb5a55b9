"""What producers of other kinds send, through a worker: each is a list or a dead letter that says what was found."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.local.brokers import Broker
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.events import EventKind
from schemas.recommendations import Recommendation
from schemas.topics import DEAD_LETTERS, EVENTS, RECOMMENDATIONS
from tests.support.pipeline import Pipeline, films

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

YEAR_MS = 31_556_952_000


def shapes(now_ms: int) -> dict[str, tuple[bytes, Refusal, str]]:
    """By user: the value, and how it is refused."""

    def event(user: str, **fields: Any) -> dict[str, Any]:
        return {"id": f"{user}-1", "user": user, "kind": "like", "item": "film-1", "ts": now_ms} | fields

    def text(user: str, **fields: Any) -> bytes:
        return json.dumps(event(user, **fields)).encode()

    renamed = {"eventId": "camel-1", "userId": "camel", "eventType": "like", "itemId": "film-1", "timestamp": now_ms}
    return {
        "seconds": (text("seconds", ts=now_ms // 1_000), Refusal.INVALID, "looks like seconds; send milliseconds"),
        "micros": (text("micros", ts=now_ms * 1_000), Refusal.FUTURE, "looks like microseconds; send milliseconds"),
        "old": (text("old", ts=4 * YEAR_MS), Refusal.INVALID, "before 1975-01-01"),
        "marked": (b"\xef\xbb\xbf" + text("marked"), Refusal.MALFORMED, "byte order mark"),
        "registry": (b"\x00\x00\x00\x00\x07" + text("registry"), Refusal.MALFORMED, "schema registry prefix"),
        "array": (b"[" + text("array") + b"]", Refusal.MALFORMED, "a JSON array"),
        "twice": (json.dumps(text("twice").decode()).encode(), Refusal.MALFORMED, "JSON inside a JSON string"),
        "camel": (json.dumps(renamed).encode(), Refusal.INVALID, 'unknown field "userId": did you mean "user"?'),
        "shares": (text("shares", kind="share"), Refusal.INVALID, ", ".join(EventKind)),
    }


async def test_events_of_other_producers_make_a_list_or_a_clear_dead_letter(broker: Broker, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    sent = shapes(now_ms)
    nulls = dict.fromkeys(("value", "text", "scene", "list", "target", "v"))
    whole = {"id": "nulls-1", "user": "nulls", "kind": "like", "item": "film-2", "ts": now_ms} | nulls
    past = {"id": "past-1", "user": "past", "kind": "like", "item": "film-3", "ts": 6 * YEAR_MS}
    with Pipeline(broker, tmp_path, triton="", oldest_event="1975-01-01") as path:
        await path.prepare(films())
        path.start()
        await path.send(EVENTS, ((user, value) for user, (value, *_) in sent.items()))
        await path.send(EVENTS, ((each["user"], json.dumps(each).encode()) for each in (past, whole)))
        letters = await path.read(DEAD_LETTERS, DeadLetter, lambda out: len(out) >= len(sent))
        await path.read(RECOMMENDATIONS, Recommendation, lambda out: any(made.user == "nulls" for made in out))
        log = path.log()
    found = {(letter.key or b"").decode(): letter for letter in letters}
    assert set(found) == set(sent)
    for user, (value, code, says) in sent.items():
        assert found[user].value == value
        assert (found[user].code, says in found[user].detail) == (code, True), found[user].detail
        assert "film-1" not in found[user].detail
    assert "film-1" not in log
