"""Lists, and records as a consumer returns them."""

from types import SimpleNamespace
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.recommendations import Entry, Reason, Recommendation, Source
from tests.schemas.examples import EXAMPLES, NOW

FULL = EXAMPLES["recommendation.full"]


def entry(item: str, score: float = 0.5) -> Entry:
    reason = Reason(code=Source.TRENDING, text=f"{item} is trending")
    return Entry(item=item, score=score, behavioural=score, propensity=1.0, sources=(Source.TRENDING,), reason=reason)


def made(user: str, *items: str, ts: int = NOW, **changes: Any) -> Recommendation:
    """A list of a user, from partition 3 and offset 41."""
    assert isinstance(FULL, Recommendation)
    entries = tuple(entry(item, 1.0 - place / 100) for place, item in enumerate(items))
    return msgspec.structs.replace(FULL, id=f"{user}-{ts}", user=user, ts=ts, entries=entries, **changes)


def record(key: str | None, value: bytes | msgspec.Struct | None, *, timestamp: int = 0) -> Any:
    value = encode(value) if isinstance(value, msgspec.Struct) else value
    return SimpleNamespace(key=None if key is None else key.encode(), value=value, timestamp=timestamp)
