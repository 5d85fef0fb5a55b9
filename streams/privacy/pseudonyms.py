"""Pseudonyms: the names under which state and feedback are stored, made from user ids with a key. Pure.

Without the key a pseudonym reveals nothing about the id, and a list of ids cannot be tried against it. With the key the
pseudonym of any id can be computed (`ouzel pseudonym`), but no pseudonym can be reversed.
"""

from collections.abc import Callable
from hashlib import blake2b

Alias = Callable[[str], str]
"""From a user id to the name under which the user's state is stored."""

MIN_KEY_LENGTH, MAX_KEY_BYTES = 16, 64


def same(user: str) -> str:
    """No pseudonyms: users are stored under their own ids."""
    return user


def alias_with(key: str) -> Alias:
    """The pseudonyms of a key: 128 bits as 32 letters and digits. An empty key gives none: `same`."""
    if not key:
        return same
    secret = key.encode()

    def alias(user: str) -> str:
        return blake2b(user.encode(), key=secret, digest_size=16).hexdigest()

    return alias


def fingerprint(key: str) -> bytes:
    """8 bytes that identify a key but do not reveal it; empty without a key."""
    return blake2b(b"ouzel", key=key.encode(), digest_size=8, person=b"fingerprint").digest() if key else b""
