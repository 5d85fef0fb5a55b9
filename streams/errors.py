"""What the event plane raises.

    StreamsError
    ├── BadSetting      a setting is missing, of the wrong form, or out of its bounds; the worker does not start
    ├── Superseded      another worker took this partition over; what is in flight here is dropped (retriable)
    ├── PartitionLost   the partition was revoked while something waited for it (retriable)
    ├── StoreFailed     the state on disk cannot be read or written; the partition starts over (retriable)
    ├── TooFewPartitions a topic lacks a partition that it must have; the partition is not served until it is added
    ├── TopicRecreated  the state is of another `ouzel.events`; the partition is not served
    ├── Rewound         the topic was recreated, or ends before what was read; the partition starts over (retriable)
    ├── CannotRead      records cannot be read for now; none is skipped (retriable)
    │   ├── CodecMissing    they are compressed with a codec whose library is not installed
    │   └── LogDamaged      the broker cannot read its own log
    ├── AnotherKey      people are kept under pseudonyms of another key; the partition is not served
    └── IndexFull       more items than a worker numbers

`retriable` says whether the same work, started over from what is durable, can succeed; `cause` is the label of metrics.
"""

from typing import ClassVar


class StreamsError(Exception):
    """The root of what this package raises."""

    retriable: ClassVar[bool] = False
    cause: ClassVar[str] = "other"
    """As metrics and alerts name it (`streams.health.conditions.CAUSES`)."""


class BadSetting(StreamsError):
    """A setting cannot be used. The message names the variable, what is wrong with it, and what it takes."""


class Superseded(StreamsError):
    """Another worker has begun to recover a partition that this one still held."""

    retriable: ClassVar[bool] = True


class PartitionLost(StreamsError):
    """The partition is no longer ours."""

    retriable: ClassVar[bool] = True


class StoreFailed(StreamsError):
    """The state of a partition cannot be read from disk or written there. The message names folder and cause."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "disk"


class TooFewPartitions(StreamsError):
    """A topic has fewer partitions than another that it follows. The message says which is to grow."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "partitions"


class TopicRecreated(StreamsError):
    """The state is of a topic that was deleted. The message says how the new one is taken."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "recreated"


class Rewound(StreamsError):
    """Records come from before what was read already, or the topic has another id."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "recreated"


class CannotRead(StreamsError):
    """Records cannot be read for now, and none is skipped. The message names topic, partition, offset and remedy."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "brokers"


class CodecMissing(CannotRead):
    """They are compressed with a codec whose library is not installed."""

    cause: ClassVar[str] = "codec"


class LogDamaged(CannotRead):
    """The broker cannot read its own log there."""


class AnotherKey(StreamsError):
    """People are kept under pseudonyms of another key than the one that is set."""


class IndexFull(StreamsError):
    """There are more items than a worker numbers; the item that was met last has no number."""
