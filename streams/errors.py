"""The errors of the event plane.

    StreamsError
    ├── BadSetting      a setting is missing, of the wrong form, or out of its bounds; the worker does not start
    ├── BadMapping      a mapping file cannot be used; the mapping does not start
    ├── RegistryFailed  the schema registry does not answer; records wait for it (retriable)
    ├── Superseded      another worker took over this partition; work in flight is dropped (retriable)
    ├── PartitionLost   the partition was revoked while work waited for it (retriable)
    ├── StoreFailed     the state on disk cannot be read or written; the partition starts over (retriable)
    ├── TooFewPartitions a topic lacks a partition; the partition is not served until it is added
    ├── TopicRecreated  the state belongs to a deleted `ouzel.events`; the partition is not served
    ├── Rewound         the topic was recreated, or ends before the last read offset; starts over (retriable)
    ├── CannotRead      records cannot be read for now and are not skipped (retriable)
    │   ├── CodecMissing    they are compressed with a codec whose library is not installed
    │   └── LogDamaged      the broker cannot read its own log
    ├── NewerLog        a later version of Ouzel wrote the training log; it is not read
    ├── LogFailed       the training log cannot be written or read; what is not in it is read again (retriable)
    ├── AnotherKey      the state uses pseudonyms of another key; the partition is not served
    ├── TooManyLists    more one-off lists are wanted at once than wait (retriable)
    ├── UserErased      the user was erased while a list was made for them; it is dropped
    └── IndexFull       more items than a worker can number

`retriable` says whether the same work, started over from what is durable, can succeed; `cause` is the label of metrics.
"""

from typing import ClassVar


class StreamsError(Exception):
    """The base of all errors of this package."""

    retriable: ClassVar[bool] = False
    cause: ClassVar[str] = "other"
    """Its label in metrics and alerts (`streams.health.conditions.CAUSES`)."""


class BadSetting(StreamsError):
    """A setting cannot be used. The message names the variable, what is wrong, and the accepted values."""


class BadMapping(StreamsError):
    """A mapping file cannot be used. The message names the key, what is wrong, and the accepted values."""


class RegistryFailed(StreamsError):
    """The schema registry does not answer, or not as one. The message names its address and the next step."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "registry"


class Superseded(StreamsError):
    """Another worker has started to recover a partition that this one still held."""

    retriable: ClassVar[bool] = True


class PartitionLost(StreamsError):
    """The partition was revoked."""

    retriable: ClassVar[bool] = True


class StoreFailed(StreamsError):
    """The state of a partition cannot be read from or written to disk. The message names folder and cause."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "disk"


class TooFewPartitions(StreamsError):
    """A topic has fewer partitions than another one it must match. The message says which one to extend."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "partitions"


class TopicRecreated(StreamsError):
    """The state belongs to a deleted topic. The message says how to continue with the new one."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "recreated"


class Rewound(StreamsError):
    """Records come from before the last read offset, or the topic has another id."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "recreated"


class CannotRead(StreamsError):
    """Records cannot be read for now and are not skipped. The message names topic, partition, offset and remedy."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "brokers"


class CodecMissing(CannotRead):
    """The records are compressed with a codec whose library is not installed."""

    cause: ClassVar[str] = "codec"


class LogDamaged(CannotRead):
    """The broker cannot read its log at that offset."""


class NewerLog(StreamsError):
    """The training log has messages of a version that this one does not know."""


class LogFailed(StreamsError):
    """The files of the training log cannot be written or read. The message names the cause and the next step."""

    retriable: ClassVar[bool] = True
    cause: ClassVar[str] = "disk"


class AnotherKey(StreamsError):
    """The state uses pseudonyms of another key than OUZEL_PSEUDONYM_KEY."""


class TooManyLists(StreamsError):
    """As many one-off lists are wanted at once as may wait."""

    retriable: ClassVar[bool] = True


class UserErased(StreamsError):
    """The user was erased while a one-off list was made for them."""


class IndexFull(StreamsError):
    """There are more items than a worker can number; the last one has no number."""
