"""A bounded cache of decoded values."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FifoCache(OrderedDict[K, V]):
    """Holds at most `most` values; evicts the oldest.

    It does not evict the least recently used: recording every access costs more than decoding a value again that is
    still in use, once in `most` new ones.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        if len(self) > self._most:
            self.popitem(last=False)
