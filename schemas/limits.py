"""Every bound of the contract, in one place.

A message outside a bound is refused with a reason code and goes to the dead letters with its bytes.
Lengths of text are in characters; sizes are in bytes; times are in milliseconds.
"""

from typing import Annotated

from msgspec import Meta

MAX_MESSAGE_BYTES = 64 * 1024
"""The longest value that is decoded at all; a longer one is refused unread."""

MAX_CLOCK_SKEW_MS = 5 * 60 * 1000
"""How far in the future of the worker's clock an event may lie."""

MIN_TIMESTAMP_MS = 0
"""Events before 1970 are refused."""

MAX_LIST_ENTRIES = 100
"""Entries of one recommendation list."""

MAX_ATTRIBUTES = 32
MAX_TEXT_LENGTH = 4_000
MAX_NEIGHBOURS = 512

Id = Annotated[str, Meta(min_length=1, max_length=128)]
"""A user, item, event or list identifier."""

Scene = Annotated[str, Meta(min_length=1, max_length=32)]
"""The place in a product where a list is shown: "home", "cart", "up-next"."""

Title = Annotated[str, Meta(min_length=1, max_length=300)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_LENGTH)]
Attribute = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(min_length=1, max_length=280)]
Rating = Annotated[float, Meta(ge=0.0, le=5.0)]
Millis = Annotated[int, Meta(ge=MIN_TIMESTAMP_MS, le=2**53)]
Version = Annotated[int, Meta(ge=1, le=1_000)]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
