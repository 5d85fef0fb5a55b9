"""Lexical similarity of items: hashed tf-idf vectors of title, text and attributes, without a model.

Words are hashed with a sign into `DIMENSIONS` buckets (feature hashing: Weinberger et al., ICML 2009), weighted by
log(1 + count) and the inverse document frequency of their bucket, and scaled to length 1. An item takes 2 KiB.
"""

import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.items import Item

DIMENSIONS = 256
MAX_WORDS = 400
"""Maximum words per item; the rest of a long text is ignored."""

REFRESH = 0.1
"""Document frequencies are reapplied to all items when the size of the catalogue has changed by this share."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_WORD = re.compile(r"\w+")


def words(item: Item) -> list[str]:
    """The words of an item. Each attribute counts as one word."""
    found = _WORD.findall(f"{item.title} {item.text}".lower())[:MAX_WORDS]
    return found + [f"={attribute.lower()}" for attribute in item.attributes]


@lru_cache(maxsize=65_536)
def _bucket(word: str) -> tuple[int, float]:
    code = crc32(word.encode())
    return code % DIMENSIONS, 1.0 if code & 0x8000_0000 else -1.0


def count(item: Item) -> Floats:
    """The item's signed word counts by bucket, float32 of DIMENSIONS, dampened by log(1 + count)."""
    row = np.zeros(DIMENSIONS, np.float32)
    for word in words(item):
        bucket, sign = _bucket(word)
        row[bucket] += sign
    return np.asarray(np.sign(row) * np.log1p(np.abs(row)), np.float32)


class Likeness:
    """Unit vectors of the items of a catalogue, by item number."""

    def __init__(self) -> None:
        self._counts = np.zeros((0, DIMENSIONS), np.float32)
        self._units = np.zeros((0, DIMENSIONS), np.float32)
        self._containing = np.zeros(DIMENSIONS)
        self._held = 0
        self._idf = np.ones(DIMENSIONS, np.float32)
        self._idf_of = 0
        self._stale: set[int] = set()

    def put(self, number: int, item: Item | None) -> None:
        """Set the words of an item, or drop them (None)."""
        if number >= len(self._counts):
            more = np.zeros((max(64, 2 * number) + 1 - len(self._counts), DIMENSIONS), np.float32)
            self._counts = np.concatenate((self._counts, more))
            self._units = np.concatenate((self._units, more))
        before, after = self._counts[number], np.zeros(DIMENSIONS, np.float32) if item is None else count(item)
        self._held += int(after.any()) - int(before.any())
        self._containing += (after != 0).astype(float) - (before != 0)
        self._counts[number] = after
        self._stale.add(number)

    def vectors(self) -> Floats:
        """Unit vectors by item number, float32 [>= largest number + 1, DIMENSIONS]; zero for unknown items."""
        if abs(self._held - self._idf_of) > REFRESH * self._idf_of:
            self._idf = np.log((self._held + 1.0) / (self._containing + 0.5)).clip(0.0).astype(np.float32)
            self._idf_of = self._held
            self._units = _scaled(self._counts * self._idf)
        elif self._stale:
            some = list(self._stale)
            self._units[some] = _scaled(self._counts[some] * self._idf)
        self._stale.clear()
        return self._units

    def nearest(self, text: str, most: int) -> list[int]:
        """The numbers of at most `most` items that share words with a text, the most similar first."""
        units = self.vectors()
        close = units @ _scaled((count(Item(id="text", title=text)) * self._idf)[None])[0]
        found = np.flatnonzero(close > 0)
        if len(found) > most:
            found = found[np.argpartition(-close[found], most - 1)[:most]]
        return [int(number) for number in found[np.argsort(-close[found], kind="stable")]]

    def profile(self, numbers: Ints, weights: Floats) -> Floats:
        """The direction of a weighted sum of items, float32 of DIMENSIONS; zero for no items. Unknown numbers are
        ignored."""
        units = self.vectors()
        known = (numbers >= 0) & (numbers < len(units))
        total: Floats = weights[None, known] @ units[numbers[known]]
        return _scaled(total).reshape(DIMENSIONS)


def _scaled(rows: Floats) -> Floats:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(length > 0, length, 1.0), np.float32)
