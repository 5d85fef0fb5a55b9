"""Records that retention deleted before they were read: counted and logged."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

Lost = Callable[[str, int, int, int], None]
"""Called with lost records: topic, partition, first offset and count."""


def report(topic: str, partition: int, first: int, count: int) -> None:
    """Log that `count` records from offset `first` on were deleted before they were read."""
    log.error(
        "Partition %d of %s: %d records, offsets %d to %d, were deleted before they were read. If the worker was "
        "away or behind for longer than the topic keeps records, raise its retention.ms or retention.bytes.",
        partition,
        topic,
        count,
        first,
        first + count - 1,
    )
