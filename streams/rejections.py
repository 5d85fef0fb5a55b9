"""Dead letters in the log and in the metrics. No line holds a key or a value."""

import logging
from collections import Counter
from collections.abc import Iterable

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.topics import DEAD_LETTERS
from streams.log_limit import Seldom
from streams.metrics import Metrics

log = logging.getLogger(__name__)


class Rejections:
    """Counts every dead letter, and logs them: one line a minute of each topic and code, with how many there were.

    Which records could not be read at all, and why, stands in every line about it: that is the broker's trouble, and
    names nobody.
    """

    def __init__(self, metrics: Metrics, lines: Seldom | None = None) -> None:
        self._metrics = metrics
        self._lines = Seldom(log) if lines is None else lines

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
        """A value was given up that its compacted topic does not take."""
        self._lines.warning(
            topic,
            f"A value of {size} bytes was not written to {topic}, which takes none of that size: it is on this disk "
            f"only. Raise max.message.bytes of {topic}",
        )

    def flush(self, *, all_of_it: bool = False) -> None:
        """Log what was counted, is due and not said yet; or all of it, at the end."""
        self._lines.flush(all_of_it=all_of_it)
