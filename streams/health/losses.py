"""What retention deleted before it was read: counted, and told in the log."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

Lost = Callable[[str, int, int, int], None]
"""Take note of records that are gone: topic, partition, the first offset, and how many."""


def report(topic: str, partition: int, first: int, count: int) -> None:
    """Say in the log that `count` records from offset `first` on were deleted before they were read."""
    log.error(
        "Partition %d of %s: %d records, offsets %d to %d, were deleted before they were read. Where the worker was "
        "away or behind for longer than the topic keeps records, raise its retention.ms or retention.bytes.",
        partition,
        topic,
        count,
        first,
        first + count - 1,
    )
