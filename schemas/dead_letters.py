"""What could not be used: the values of `ouzel.dead-letters`, keyed as the original was."""

import msgspec

from schemas.errors import Refusal
from schemas.limits import Detail, Millis, Offset, Original, Partition, TopicName


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """The original bytes, where they came from, and why they were refused."""

    code: Refusal
    detail: Detail
    topic: TopicName
    partition: Partition
    offset: Offset
    ts: Millis
    key: Original | None = None
    value: Original | None = None
