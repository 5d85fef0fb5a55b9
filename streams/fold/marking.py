"""The digests by which a context remembers items. Only the holder of the partition's secret can make them. Pure.

Producers choose the ids of events and items. If anybody could compute the digest, a producer could look for an id with
the digest of a given other, which takes seconds for 64 bits of XXH3, seed or not: a user who has met the one would
never be shown the other. So the digest is BLAKE2b under a random secret, which stands in the partition's state.

A state from before there were secrets has marks under XXH3, which `UNKEYED` gives. They are still recognized (`mixed`),
and go with their context, or behind 16,384 newer ones; what is met from now on is marked under the secret.
"""

from hashlib import blake2b
from weakref import WeakValueDictionary

import numpy as np
import xxhash

from streams.fold.seen_marks import AS_BYTES, CODES

SECRET_BYTES = 32

PRINT = 0x7FFF
"""The bits of a digest that make its print: a character, below those that Unicode keeps for pairs."""

APART = 0x0E35
"""What keeps the prints of an item apart by the code of the kind."""

MOST_KNOWN = 1 << 16

Known = tuple[str, bytes, str]
"""One string for all that are equal to an item's id, the 8 bytes under which it is remembered, and the prints of its
marks, by the code of the kind."""


def prints_of(seen: bytes | bytearray, told: bytes | bytearray) -> str:
    """The prints of marks, in order: a character is found in a string many times faster than 8 bytes are in a row, and
    where two marks have one print the rows say which."""
    codes = np.frombuffer(told, np.uint8)[::AS_BYTES].astype(np.uint64)
    prints = (np.frombuffer(seen, "<u8") ^ APART * codes) & np.uint64(PRINT)
    return prints.astype("<u2").tobytes().decode("utf-16-le")


def _digest(item: str, secret: bytes) -> int:
    if not secret:
        return xxhash.xxh3_64_intdigest(item.encode())
    return int.from_bytes(blake2b(item.encode(), key=secret, digest_size=8).digest(), "little")


class _Items(dict[str, Known]):
    """What is known of items by id, made on demand: at most `MOST_KNOWN`, 500 bytes each; then all are dropped."""

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret

    def __missing__(self, item: str) -> Known:
        if len(self) >= MOST_KNOWN:
            self.clear()
        mark = _digest(item, self._secret)
        prints = "".join(chr((mark ^ APART * code) & PRINT) for code in range(len(CODES) + 1))
        found = self[item] = item, mark.to_bytes(8, "little"), prints
        return found


class Marking:
    """How a partition marks items. `mixed`: its contexts may have marks from before it had a secret, too."""

    def __init__(self, secret: bytes = b"", *, mixed: bool = False) -> None:
        self.secret = secret
        self.mixed = mixed
        self.known = _Items(secret)

    def digest(self, item: str) -> int:
        """The 64-bit digest under which an item is remembered."""
        return _digest(item, self.secret)

    def mark(self, item: str) -> bytes:
        """The same as 8 bytes, as they stand in a context."""
        return self.known[item][1]

    def marks(self, item: str) -> tuple[bytes, ...]:
        """Every mark that may stand for an item: its own, and where `mixed`, the one from before."""
        return (self.mark(item), UNKEYED.mark(item)) if self.mixed else (self.mark(item),)

    def __repr__(self) -> str:
        return f"Marking(secret={'set' if self.secret else 'none'}, mixed={self.mixed})"


UNKEYED = Marking()
"""Without a secret: for evaluations, and for state from before there were secrets. Anybody can make these digests."""


class Markings:
    """The markings of one worker: one object for each secret, as long as it is in use.

    `secret`: random bytes that this worker gives to partitions that have none.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._held: WeakValueDictionary[tuple[bytes, bool], Marking] = WeakValueDictionary()

    def of(self, secret: bytes, *, mixed: bool) -> Marking:
        found = self._held.get((secret, mixed))
        if found is None:
            found = self._held[secret, mixed] = Marking(secret, mixed=mixed)
        return found
