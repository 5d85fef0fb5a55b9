"""A filter for repeated log lines: it shows the first and later says how many were left out."""

import logging
import time
from collections.abc import Callable

EVERY_SECONDS = 30.0
MAX_KNOWN = 256


class RepeatFilter(logging.Filter):
    """Passes lines of `logger` and its children once in `every` seconds per place in the code.

    The next line that passes says how many were left out. Remembers at most `MAX_KNOWN` places.
    """

    def __init__(
        self, logger: str = "aiokafka", every: float = EVERY_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(logger)
        self._every = every
        self._clock = clock
        self._last: dict[tuple[str, int], float] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # of another logger
        place, now = (record.name, record.lineno), self._clock()
        last = self._last.get(place)
        if last is not None and now - last < self._every:
            self._left_out[place] = self._left_out.get(place, 0) + 1
            return False
        if len(self._last) >= MAX_KNOWN:
            self._last.clear()
            self._left_out.clear()
        self._last[place] = now
        left_out = self._left_out.pop(place, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} times before)", None
        return True
