"""The items that a user has met, as a context remembers them: a mark for each item and kind of event. Pure.

There are two rows. `seen` has an 8-byte item digest for each mark, and `seen_as` 3 bytes: a code for the kind of event,
and the day of the last one (little-endian, since 1970). The marks of the least recent days come first, and are the
first to be dropped beyond the bound. A context that was written before `seen_as` existed has none: its marks count as
of any kind, on the day of its last event.

A digest has 64 bits, so an item that the user has not met is taken for seen with a probability of at most 2^-50 with
16,384 marks. One that they have met is always recognized, within the bound.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.events import EventKind
from schemas.seen import DAY_MS, KINDS, SeenRule, day_of

ANY = 0
"""The code of a mark of unknown kind."""

CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
"""These codes are stored on disk: never change one."""

AS_BYTES = 3

_MOST_DAYS = 1_024
tails: dict[EventKind, dict[int, bytes]] = {kind: {} for kind in EventKind}
"""The results of `seen_as` by kind and day: at most 1,024 days per kind."""


def code_of(kind: EventKind) -> int:
    """The code of an event about an item; `ANY` for a kind without an item."""
    return CODES.get(kind, ANY)


def seen_as(kind: EventKind, ts: int) -> bytes:
    """The 3 bytes beside a digest, for an event of that kind at `ts` milliseconds."""
    by_day, day = tails[kind], ts // DAY_MS
    found = by_day.get(day)
    if found is None:
        if len(by_day) >= _MOST_DAYS:
            by_day.clear()
        found = by_day[day] = bytes((code_of(kind),)) + day_of(ts).to_bytes(2, "little")
    return found


def as_of(seen: bytes, told: bytes, ts: int) -> bytes:
    """`seen_as` of a context with the rows `seen` and `told`, at `ts`: made up for one that was written without."""
    if AS_BYTES * len(seen) == 8 * len(told):
        return told
    return (bytes((ANY,)) + day_of(ts).to_bytes(2, "little")) * (len(seen) // 8)


def find_seen(seen: bytes | bytearray, mark: bytes, start: int = 0) -> int:
    """Where the digest `mark` (8 bytes) begins in `seen`, at or after `start`, or -1."""
    at = seen.find(mark, start)
    while at % 8 and at > 0:  # a match across two digests does not count
        at = seen.find(mark, at + 1)
    return at


def find_mark(seen: bytes | bytearray, told: bytes | bytearray, mark: bytes, code: int) -> int:
    """The index of an item's mark for a kind among the marks, from 0, or -1."""
    at = find_seen(seen, mark)
    while at >= 0 and told[AS_BYTES * at // 8] != code:
        at = find_seen(seen, mark, at + 8)
    return at // 8 if at >= 0 else -1


def later(told: bytes, than: bytes | bytearray) -> bool:
    """Whether the first of two `seen_as` values is of a later day."""
    return told[1:] != than[1:] and int.from_bytes(told[1:], "little") > int.from_bytes(than[1:], "little")


def see(seen: bytes, told: bytes, mark: bytes, how: bytes, most: int) -> tuple[bytes, bytes]:
    """Both rows after an item is met: its mark is added, or moves to the end with a later day; `most` marks stay."""
    at = find_mark(seen, told, mark, how[0])
    if at >= 0:
        if not later(how, told[AS_BYTES * at : AS_BYTES * (at + 1)]):
            return seen, told
        seen, told = without(seen, told, at)
    return (seen + mark)[-8 * most :], (told + how)[-AS_BYTES * most :]


def without(seen: bytes, told: bytes, at: int) -> tuple[bytes, bytes]:
    """Both rows without the mark at index `at`."""
    return seen[: 8 * at] + seen[8 * at + 8 :], told[: AS_BYTES * at] + told[AS_BYTES * (at + 1) :]


def hidden(seen: bytes, told: bytes, rule: SeenRule, now_ms: int) -> NDArray[np.uint64]:
    """The digests of items that a rule hides from lists at `now_ms`, uint64, not distinct; `told` is from `as_of`."""
    digests = np.frombuffer(seen, "<u8")
    if rule.plain:
        return digests
    if rule.days == 0:
        return digests[:0]
    rows = np.frombuffer(told, np.uint8).reshape(-1, AS_BYTES)
    counts = np.zeros(256, np.bool_)
    counts[[ANY, *(CODES[kind] for kind in rule.kinds)]] = True
    kept = counts[rows[:, 0]]
    if rule.days is not None:
        days = rows[:, 1].astype(np.int64) | (rows[:, 2].astype(np.int64) << 8)
        kept &= now_ms < (days + 1 + rule.days) * DAY_MS
    return np.asarray(digests[kept])
