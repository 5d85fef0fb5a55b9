"""How long new items wait until a worker shows them for the first time.

Only items that were published since the worker started count: of older ones it does not know whether they were shown.
Memory: one byte for each item of the catalogue.
"""

from collections.abc import Callable, Iterable

import numpy as np

from streams.items.catalogue import Catalogue


class FirstShowings:
    """`observe` gets the seconds from an item's publication to its first showing. `since_ms` is the worker's start."""

    def __init__(self, catalogue: Catalogue, observe: Callable[[float], object], *, since_ms: int) -> None:
        self._catalogue = catalogue
        self._observe = observe
        self._since = since_ms
        self._shown = np.zeros(64, np.bool_)

    def note(self, items: Iterable[str], now_ms: int) -> None:
        """A list of these items was published at `now_ms`."""
        published = self._catalogue.published()
        for item in items:
            number = self._catalogue.index.find(item)
            if number is None:
                continue
            if number >= len(self._shown):
                self._shown = np.concatenate((self._shown, np.zeros(max(number + 1, len(self._shown)), np.bool_)))
            if not self._shown[number]:
                self._shown[number] = True
                if published[number] >= self._since:
                    self._observe(max(0, now_ms - int(published[number])) / 1000)
