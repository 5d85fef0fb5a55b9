"""How long a sentence says that it holds: "less horror this week", "no news until Friday", "jazz for two hours". Pure.

English and Chinese expressions of time, which are the same for every catalogue. The user's time zone is unknown, so
spans count from the sentence, and a weekday ends at midnight UTC.
"""

import re
from datetime import UTC, datetime, timedelta

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_DAYS = 365

_UNITS = {
    "hour": HOUR_MS,
    "day": DAY_MS,
    "night": DAY_MS,
    "week": 7 * DAY_MS,
    "month": 30 * DAY_MS,
    "year": 365 * DAY_MS,
}
_COUNTS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "a couple of": 2,
    "two": 2,
    "a few": 3,
    "few": 3,
    "three": 3,
    "four": 4,
    "five": 5,
}
_COUNTS |= {"six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_SPANS = (
    (re.compile(r"\b(?:tonight|this (?:morning|afternoon|evening))\b|今晚|今天晚上"), 12 * HOUR_MS),
    (re.compile(r"\b(?:today|for now|right now)\b|今天|现在"), DAY_MS),
    (re.compile(r"\b(?:this|the|at the) weekend\b|周末"), 3 * DAY_MS),
    (re.compile(r"\bthis week\b|[这本]周|这个?星期"), 7 * DAY_MS),
    (re.compile(r"\bthis month\b|本月|这个月"), 30 * DAY_MS),
    (re.compile(r"\bthis year\b|今年"), 365 * DAY_MS),
)
_COUNTED = re.compile(
    rf"\b(?:for|the next|next)\s+(?:the next\s+)?(?:({'|'.join(sorted(_COUNTS, key=len, reverse=True))}|\d{{1,3}})\s+)?"
    rf"({'|'.join(_UNITS)})s?\b"
)
_UNTIL = re.compile(rf"\b(?:until|till|before)\s+(?:next\s+)?({'|'.join(_DAYS)}|tomorrow)\b")


def expires(sentence: str, ts: int) -> int | None:
    """When a sentence of time `ts` ceases to hold, by its words, in milliseconds; None if it does not say. At most
    `MAX_DAYS` later."""
    said = sentence.casefold()
    until = _UNTIL.search(said)
    if until is not None:
        return _end_of(until[1], ts)
    counted = _COUNTED.search(said)
    if counted is not None:
        number, unit = counted.groups()
        count = 1 if number is None else _COUNTS.get(number) or int(number)
        return ts + min(count * _UNITS[unit], MAX_DAYS * DAY_MS)
    return next((ts + span for pattern, span in _SPANS if pattern.search(said)), None)


def _end_of(day: str, ts: int) -> int:
    """The end of the next day of this name."""
    now = datetime.fromtimestamp(ts / 1000, UTC)
    ahead = 1 if day == "tomorrow" else (_DAYS.index(day) - now.weekday() - 1) % 7 + 1
    end = (now + timedelta(days=ahead + 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(end.timestamp() * 1000)
