"""Session numbers, by which the model finds and drops its cache of a user. Pure.

A user's number is made from the id with a secret in the state of the user's partition. So it stays the same when the
partition changes hands, and the next owner can have the model drop what it cached for the previous worker.
"""

from hashlib import blake2b

import msgspec

SECRET_BYTES = 32

PREFIX = "prefix@model"
"""The name, in an erasure receipt, of data of the user that the model may still cache."""


class Sessions(msgspec.Struct, frozen=True, array_like=True):
    """The source of a partition's session numbers: `SECRET_BYTES` drawn at random, once in the state's life.

    `alone` says that the model has dropped its cache from before this secret: under one that was lost with its
    state, or from a worker without one. Those numbers cannot be computed any more.
    """

    secret: bytes
    alone: bool = False

    def __repr__(self) -> str:
        return f"Sessions(secret='***', alone={self.alone})"

    def number(self, user: str) -> int:
        """The session number of a user id, 0 to 2^63 - 1."""
        digest = blake2b(user.encode(), key=self.secret, digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1


def one_off(drawn: int) -> int:
    """The session number of a context that is no user's, from a number drawn at random, 0 to 2^63 - 1. It is below 0,
    where no user has one."""
    return -1 - drawn
