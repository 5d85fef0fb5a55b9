"""Session numbers: what the model knows people by, so that it finds what it kept of them and drops it when told. Pure.

A number is made from the id with a secret that stands in the state of the person's partition. So it stays the same when
the partition changes hands, and whoever has the partition can have the model drop what it kept for another worker.
"""

from hashlib import blake2b

import msgspec

SECRET_BYTES = 32

PREFIX = "prefix@model"
"""What an erasure receipt calls what the model may still keep of the person."""


class Sessions(msgspec.Struct, frozen=True, array_like=True):
    """What a partition's session numbers are made with: `SECRET_BYTES` drawn at random, once in the state's life.

    `alone` says that the model has dropped what it kept from before this secret: under one that went with a lost
    state, or of a worker that kept none in the state. Nobody can make those numbers any more.
    """

    secret: bytes
    alone: bool = False

    def __repr__(self) -> str:
        return f"Sessions(secret='***', alone={self.alone})"

    def number(self, user: str) -> int:
        """The session number of a user id, 0 to 2^63 - 1."""
        digest = blake2b(user.encode(), key=self.secret, digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1
