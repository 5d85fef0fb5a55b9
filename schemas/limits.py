"""Every bound of the contract, in one place.

A message outside a bound is refused with a reason code, and its bytes go to the dead letters.
Lengths of text are in characters, sizes in bytes, times in milliseconds.
"""

from typing import Annotated

from msgspec import Meta

MAX_MESSAGE_BYTES = 64 * 1024
"""Maximum size of an input value (events, items, erasure orders); a larger one is refused without decoding. An item
with every field at its maximum fits as MessagePack."""

MAX_RECORD_BYTES = 1_000_000
"""Maximum size of a value that Ouzel writes. It fits into a Kafka record with the broker's defaults."""

MAX_ORIGINAL_BYTES = 1_048_588
"""Maximum size of a key or value on a topic with the broker's default `message.max.bytes`."""

MAX_DEAD_LETTER_BYTES = 2 * MAX_ORIGINAL_BYTES + 8 * 1024
"""Maximum size of a dead letter: the largest original plus the reason. Its topic must accept records of this size."""

MAX_CLOCK_SKEW_MS = 5 * 60 * 1000
"""How far an event may be ahead of the worker's clock."""

MIN_TIMESTAMP_MS = 0
"""Events cannot be from before 1970."""

OLDEST_EVENT_MS = 315_532_800_000
"""1980-01-01. Earlier events are refused by default (OUZEL_OLDEST_EVENT): most of them were sent in seconds."""

MIN_PUBLISHED_MS, MAX_PUBLISHED_MS = -62_135_596_800_000, 253_402_300_799_999
"""Publication times of items: the years 1 to 9999. Films, for example, can be from before 1970."""

MAX_LIST_ENTRIES = 100
"""Maximum entries of one recommendation list."""

MAX_ATTRIBUTES = 32
MAX_TEXT_LENGTH = 4_000
MAX_VECTOR = 2_048
MAX_NEIGHBOURS = 512
MAX_BECAUSE = 8
MAX_SOURCES = 16
"""Candidate sources of one entry, and contributions to its score."""

MAX_SIGNALS = 32
"""Signals of all candidate sources together."""

MAX_MODIFIERS = 16
"""What the weights of signals may depend on."""

MAX_DETAIL_LENGTH = 200
MAX_CLEARED = 450

MAX_STEERS = 3
"""Sentences of a user that are held; the last ones count."""

MAX_MEANINGS = 32
"""Attributes and items that one sentence asks for or against."""

Id = Annotated[str, Meta(min_length=1, max_length=128)]
"""A user, item, event or list identifier. Control characters are refused in input."""

Digest = Annotated[str, Meta(min_length=16, max_length=16)]
"""A 64-bit digest in hexadecimal."""

Scene = Annotated[str, Meta(min_length=1, max_length=32)]
"""The place in a product where a list is shown: "home", "cart", "up-next"."""

SourceName = Annotated[str, Meta(pattern="^[a-z0-9_]{1,24}$", max_length=24)]
"""The name of a candidate source, a signal or a modifier."""

Title = Annotated[str, Meta(min_length=1, max_length=300)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_LENGTH)]
Attribute = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(min_length=1, max_length=280)]
Rating = Annotated[float, Meta(ge=0.0, le=5.0)]
Millis = Annotated[int, Meta(ge=MIN_TIMESTAMP_MS, le=2**53)]
Published = Annotated[int, Meta(ge=MIN_PUBLISHED_MS, le=MAX_PUBLISHED_MS)]
Strength = Annotated[float, Meta(ge=-1.0, le=1.0)]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]

Finite = Annotated[float, Meta(ge=-1e30, le=1e30)]
"""A number that is neither NaN nor infinite, here or as a 32-bit float."""

Position = Annotated[int, Meta(ge=0, lt=MAX_LIST_ENTRIES)]
"""A position in a list, from 0."""

Length = Annotated[int, Meta(ge=0, le=2**20)]
"""How many events a history has."""

Vector = Annotated[tuple[Finite, ...], Meta(max_length=MAX_VECTOR)]

TopicName = Annotated[str, Meta(min_length=1, max_length=249)]
Partition = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Detail = Annotated[str, Meta(max_length=MAX_DETAIL_LENGTH)]
Original = Annotated[bytes, Meta(max_length=MAX_ORIGINAL_BYTES)]
"""The original bytes of a key or value."""
