"""Pseudonyms: the names under which state and feedback are kept, made from user ids with a key. Pure.

Without the key a pseudonym says nothing about the id, and no list of ids can be tried on it. With the key the pseudonym
of any id can be computed (`ouzel pseudonym`), but no pseudonym can be turned back.
"""

from collections.abc import Callable
from hashlib import blake2b

Alias = Callable[[str], str]
"""From a user id to the name under which the user's state is kept."""

MIN_KEY_LENGTH, MAX_KEY_BYTES = 16, 64


def same(user: str) -> str:
    """Users are kept under their own ids."""
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
    """8 bytes by which a key is recognized, from which it does not follow; empty without a key."""
    return blake2b(b"ouzel", key=key.encode(), digest_size=8, person=b"fingerprint").digest() if key else b""
