"""Readings for serving: from the store if present, else from the model, with counters."""

import threading
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from inference.item_tokens.reading import Reader, digest
from inference.item_tokens.reading_store import ReadingStore
from inference.shared import Counts


class Readings:
    """Reads each text at most once, as long as `store` has room.

    `save` may run concurrently with any method; the others are for one thread at a time.
    """

    def __init__(self, reader: Reader, store: ReadingStore | None) -> None:
        self.reader = reader
        self._store = store
        self._unsaved: dict[bytes, Tensor] = {}
        self._lock = threading.Lock()
        """Guards `_unsaved`."""
        self._read = self._found = 0

    @property
    def unsaved(self) -> bool:
        """Whether `save` has something to write."""
        return bool(self._unsaved)

    @property
    def counts(self) -> Counts:
        return Counts(self._read, self._found, 0 if self._store is None else self._store.failures)

    def kept(self, texts: Sequence[str]) -> tuple[list[int], Tensor]:
        """The indices of texts whose readings are available without the model, and the readings [n, depths, hidden]."""
        if self._store is None or not texts:
            return [], torch.empty(0)
        keys = [digest(text) for text in texts]
        # Look in `_unsaved` first: readings stay there until the store has them.
        with self._lock:
            found = {key: self._unsaved[key] for key in keys if key in self._unsaved}
        found |= self._store.get([key for key in dict.fromkeys(keys) if key not in found])
        places = [place for place, key in enumerate(keys) if key in found]
        self._found += len(places)
        return places, torch.stack([found[keys[place]] for place in places]) if places else torch.empty(0)

    def read(self, texts: Sequence[str], pause: Callable[[], None] | None) -> Iterator[tuple[list[int], Tensor]]:
        """Read texts with the model, yielding indices and readings per pass (`Reader.passes`)."""
        for places, readings in self.reader.passes(texts, pause):
            self._read += len(places)
            if self._store is not None:
                with self._lock:
                    self._unsaved |= {digest(texts[place]): one for place, one in zip(places, readings, strict=True)}
            yield places, readings

    def save(self) -> None:
        """Write new readings to disk. Waits for the disk."""
        with self._lock:
            unsaved = dict(self._unsaved)
        if self._store is not None and unsaved:
            self._store.put(unsaved)
            with self._lock:
                for key in unsaved:
                    del self._unsaved[key]
