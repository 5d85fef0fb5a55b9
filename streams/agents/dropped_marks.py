"""Reports marks of seen items that were dropped because a user has too many: counted, and logged now and then."""

import logging
from collections.abc import Callable

from prometheus_client import Counter

from streams.fold.context import MAX_SEEN

log = logging.getLogger(__name__)

LOG_SECONDS = 60.0
"""Between two lines."""


class DroppedMarks:
    """What one partition dropped."""

    def __init__(self, counter: Counter, clock: Callable[[], float]) -> None:
        self._counter = counter
        self._clock = clock
        self._told_at: float | None = None

    def report(self, partition: int, marks: int) -> None:
        """Report how many marks were dropped in a batch of a partition."""
        if not marks:
            return
        self._counter.inc(marks)
        now = self._clock()
        if self._told_at is None or now - self._told_at >= LOG_SECONDS:
            self._told_at = now
            log.warning(
                "Partition %d: a user has more than %d marks of seen items (one per item and kind of event): the items "
                "met longest ago may be recommended again; see ouzel_dropped_seen_marks_total. Send fewer kinds of "
                "events per item, or check whether the user is a program.",
                partition,
                MAX_SEEN,
            )
