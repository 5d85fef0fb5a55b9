"""Refused records: the values of `ouzel.dead-letters`, with the key of the original record."""

import msgspec

from schemas.errors import Refusal
from schemas.limits import Detail, Millis, Offset, Original, Partition, TopicName


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """The original bytes, their topic, partition and offset, and why they were refused."""

    code: Refusal
    detail: Detail
    topic: TopicName
    partition: Partition
    offset: Offset
    ts: Millis
    key: Original | None = None
    value: Original | None = None
