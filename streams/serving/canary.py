"""Which users get a canary's lists. Pure: the same in every worker, and after a restart."""

from hashlib import blake2b

MAX_KEY_BYTES = 64
"""The longest key that BLAKE2b takes."""


def drawn(user: str, share: float, salt: str) -> bool:
    """Whether `user` is among the `share` (0 to 1) of the users that a hash with the key `salt` draws.

    `user` is the name under which the user's state is stored. With a larger share and the same salt, the users drawn
    before stay drawn. A draw with another salt is independent of this one.
    """
    key = salt.encode()
    if len(key) > MAX_KEY_BYTES:
        key = blake2b(key).digest()
    place = int.from_bytes(blake2b(user.encode(), key=key, digest_size=8).digest(), "little")
    return place < share * 2**64
