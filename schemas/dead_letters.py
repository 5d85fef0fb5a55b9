"""What could not be used: the values of `ouzel.dead-letters`, keyed as the original was."""

import msgspec

from schemas.errors import Refusal
from schemas.limits import Millis, Version


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The original bytes, where they came from, and why they were refused."""

    v: Version = 1
    code: Refusal
    detail: str
    topic: str
    partition: int
    offset: int
    ts: Millis
    key: bytes | None = None
    value: bytes | None = None
