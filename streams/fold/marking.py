"""The digests by which a context remembers items. Only the holder of the partition's secret can compute them. Pure.

Producers choose the ids of events and items. If anyone could compute the digest, a producer could search for an id with
the digest of a given other item, which takes seconds for 64 bits of XXH3, with or without a seed: a user who has met
the one would never be shown the other. So the digest is BLAKE2b with a random secret, stored in the partition's state.

A state from before there were secrets has marks by XXH3 (`UNKEYED`). They are still recognized (`mixed`), and go with
their context, or after 16,384 newer ones; new marks use the secret.
"""

from hashlib import blake2b
from weakref import WeakValueDictionary

import numpy as np
import xxhash

from streams.fold.seen_marks import AS_BYTES, CODES

SECRET_BYTES = 32

PRINT = 0x7FFF
"""The bits of a digest that form its print: one character, below those that Unicode reserves for surrogate pairs."""

APART = 0x0E35
"""Separates the prints of an item by the code of the kind."""

MOST_KNOWN = 1 << 16

Known = tuple[str, bytes, str]
"""An item's id as one shared string, the 8 bytes under which it is remembered, and the prints of its marks by the code
of the kind."""


def prints_of(seen: bytes | bytearray, told: bytes | bytearray) -> str:
    """The prints of marks, in order: finding a character in a string is many times faster than finding 8 bytes in a
    row, and if two marks have the same print, the rows decide."""
    codes = np.frombuffer(told, np.uint8)[::AS_BYTES].astype(np.uint64)
    prints = (np.frombuffer(seen, "<u8") ^ APART * codes) & np.uint64(PRINT)
    return prints.astype("<u2").tobytes().decode("utf-16-le")


def _digest(item: str, secret: bytes) -> int:
    if not secret:
        return xxhash.xxh3_64_intdigest(item.encode())
    return int.from_bytes(blake2b(item.encode(), key=secret, digest_size=8).digest(), "little")


class _Items(dict[str, Known]):
    """Known items by id, computed on demand: at most `MOST_KNOWN`, 500 bytes each; then all are dropped."""

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
        """The same as 8 bytes, as stored in a context."""
        return self.known[item][1]

    def marks(self, item: str) -> tuple[bytes, ...]:
        """Every mark that may stand for an item: its own and, if `mixed`, the one from before."""
        return (self.mark(item), UNKEYED.mark(item)) if self.mixed else (self.mark(item),)

    def __repr__(self) -> str:
        return f"Marking(secret={'set' if self.secret else 'none'}, mixed={self.mixed})"


UNKEYED = Marking()
"""Without a secret: for evaluations, and for state from before there were secrets. Anyone can compute these digests."""


class Markings:
    """The markings of one worker: one object per secret, as long as it is in use.

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
