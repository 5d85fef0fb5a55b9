"""Dead letters in the log and in the metrics. No line holds a key or a value."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.topics import DEAD_LETTERS
from streams.clock import Clock
from streams.log_limit import RateLimitedLog

log = logging.getLogger(__name__)

LINES_SECONDS = 10.0
"""Between two checks for log lines that are due."""


class Counts(Protocol):
    """Metrics that count dead letters by code."""

    @property
    def dead_letters(self) -> Any: ...


class Rejections:
    """Counts every dead letter and logs at most one line a minute per topic and code, with the number of letters.

    A line about unreadable records says which and why: the cause is the broker's, and it names no user.
    """

    def __init__(self, metrics: Counts, lines: RateLimitedLog | None = None) -> None:
        self._metrics = metrics
        self._lines = RateLimitedLog(log) if lines is None else lines

    def note(self, letters: Iterable[DeadLetter]) -> None:
        counts: Counter[tuple[str, Refusal]] = Counter()
        last: dict[tuple[str, Refusal], DeadLetter] = {}
        for letter in letters:
            self._metrics.dead_letters.labels(letter.code.value).inc()
            kind = letter.topic, letter.code
            counts[kind] += 1
            last[kind] = letter
        for (topic, code), letter in last.items():
            why = f"; {letter.detail}" if code is Refusal.UNREADABLE else ""
            self._lines.warning(
                f"{topic} {code.value}",
                f"{topic}: refused as {code.value}, at partition {letter.partition} offset {letter.offset}{why}. "
                f"{DEAD_LETTERS.name} has it: ouzel read dead-letters",
                counts[topic, code],
            )

    def too_large(self, topic: str, size: int) -> None:
        """Note that a value was not written because it exceeds the maximum size of its compacted topic."""
        self._lines.warning(
            topic,
            f"A value of {size} bytes was not written to {topic}, which accepts none of that size: it exists "
            f"only on this disk. Raise max.message.bytes of {topic}",
        )

    async def run(self, clock: Clock) -> None:
        """Log the held-back lines that are due, until cancelled."""
        while True:
            await clock.sleep(LINES_SECONDS)
            self.flush()

    def flush(self, *, all_of_it: bool = False) -> None:
        """Log the held-back lines that are due, or all of them at the end."""
        self._lines.flush(all_of_it=all_of_it)
