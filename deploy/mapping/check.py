"""`ouzel mapping check`: try a mapping file on records, and show what becomes of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from schemas.codec import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.events import Event
from schemas.items import Item
from schemas.topics import EVENTS, ITEMS
from streams.agents.mapping import results_of
from streams.mapping.groups import Result
from streams.mapping.mapping import Mapping
from streams.mapping.outcomes import Mapped, Skipped
from streams.registry.client import Schemas

SHOWN = 10
"""Records that are shown before and after."""

MOST_LISTED = 20
MAX_SHOWN = 600
"""Characters of a record's value that are shown."""

Tell = Callable[[str], None]


async def check(mapping: Mapping, schemas: Schemas, records: Iterable[Any], now_ms: int, tell: Tell) -> int:
    """Show the first records with what is made of them, then counts by reason; returns how many are rejected.

    Raises `RegistryFailed`.
    """
    outcomes: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    total = 0
    try:
        for record in records:
            total += 1
            results = await results_of(record, mapping, schemas, now_ms)
            if total <= SHOWN:
                tell(f"{record.topic} {record.partition}/{record.offset}: {_before(mapping, record)}")
            for result in results:
                if total <= SHOWN:
                    tell(f"  {_after(result)}")
                outcome, reason = _counted(result)
                outcomes[outcome] += 1
                if reason:
                    reasons[outcome, reason] += 1
    finally:
        await schemas.close()
    counts = ", ".join(f"{outcomes[each]:,} {each}" for each in ("mapped", "withdrawn", "skipped", "rejected"))
    tell(f"{total:,} records: {counts}")
    for (outcome, reason), count in reasons.most_common(MOST_LISTED):
        tell(f"  {outcome} {count:,}: {reason}")
    if len(reasons) > MOST_LISTED:
        tell(f"  and {len(reasons) - MOST_LISTED:,} more reasons")
    return outcomes["rejected"]


def _counted(result: Result) -> tuple[str, str]:
    """The outcome, and why."""
    if isinstance(result, DeadLetter):
        return "rejected", f"{result.code.value}: {result.detail}"
    if isinstance(result, Skipped):
        return "skipped", result.reason
    return "withdrawn" if result.value is None else "mapped", ""


def _before(mapping: Mapping, record: Any) -> str:
    """The value of a record as JSON, or what there is instead."""
    value = record.value
    if value is None:
        return "null"
    try:
        text = msgspec.json.encode(mapping.decoders[record.topic](value)).decode()
    except (Refused, msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        text = f"{len(value):,} bytes: {value[:60]!r}"
    return _short(text)


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text):,} characters)"


def _after(result: Result) -> str:
    if isinstance(result, Mapped):
        if result.value is None:
            return f"-> {result.topic}: {result.key.decode()} is withdrawn"
        message_type: Any = {EVENTS.name: Event, ITEMS.name: Item}.get(result.topic)
        if message_type is None:
            return f"-> {result.topic}: {_short(result.value.decode())}"
        return f"-> {result.topic}: {msgspec.json.encode(decode(message_type, result.value)).decode()}"
    outcome, reason = _counted(result)
    return f"-> {outcome}: {reason}"
