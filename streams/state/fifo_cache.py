"""A bounded store of decoded values."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(OrderedDict[K, V]):
    """At most `most` values; for one more, the one that is there longest goes.

    Not the one that was asked for longest ago: to note that at every look costs more than to read, once in `most` new
    ones, a value again that is still in use.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        if len(self) > self._most:
            self.popitem(last=False)
