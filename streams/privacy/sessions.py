"""Session numbers: the model finds what it holds of a user by them, and drops it when told. Pure.

A number is made from the id with a secret that stands in the state of the user's partition. So it stays the same when
the partition changes hands, and its next owner can have the model drop what it held for another worker.
"""

from hashlib import blake2b

import msgspec

SECRET_BYTES = 32

PREFIX = "prefix@model"
"""The name, in an erasure receipt, of what the model may still hold of the user."""


class Sessions(msgspec.Struct, frozen=True, array_like=True):
    """What a partition's session numbers are made with: `SECRET_BYTES` drawn at random, once in the state's life.

    `alone` says that the model has dropped what it held from before this secret: under one that was lost with its
    state, or from a worker that had none. Those numbers cannot be made any more.
    """

    secret: bytes
    alone: bool = False

    def __repr__(self) -> str:
        return f"Sessions(secret='***', alone={self.alone})"

    def number(self, user: str) -> int:
        """The session number of a user id, 0 to 2^63 - 1."""
        digest = blake2b(user.encode(), key=self.secret, digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1
