"""Rate-limited log lines: each kind at most once a minute, with the number of occurrences."""

import logging
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0


class RateLimitedLog:
    """Logs the first line of a kind at once. Lines within the next `EVERY_SECONDS` are counted, and the next line, or
    `flush`, says how many there were. The caller bounds the number of kinds."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._shown: dict[str, float] = {}
        self._held: dict[str, tuple[int, str]] = {}

    def warning(self, kind: str, line: str, count: int = 1) -> None:
        self._say(logging.WARNING, kind, line, count)

    def error(self, kind: str, line: str) -> None:
        self._say(logging.ERROR, kind, line, 1)

    def flush(self, *, all_of_it: bool = False) -> None:
        """Log the lines that were held back and are due, or all of them."""
        for kind in list(self._held):
            if all_of_it or self._clock() - self._shown[kind] >= EVERY_SECONDS:
                self._show(logging.WARNING, kind)

    def _say(self, level: int, kind: str, line: str, count: int) -> None:
        held = self._held.get(kind, (0, ""))[0]
        self._held[kind] = (held + count, line)
        if kind not in self._shown or self._clock() - self._shown[kind] >= EVERY_SECONDS:
            self._show(level, kind)

    def _show(self, level: int, kind: str) -> None:
        count, line = self._held.pop(kind)
        self._shown[kind] = self._clock()
        self._log.log(level, "%s%s", line, "" if count == 1 else f" (the last of {count})")
