"""An LRU cache of item tokens and vectors, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

KEY_BYTES = 20
"""Length of a key (`inference.item_tokens.items.Items.key`)."""

_FIRST = 1_024


class ItemCache:
    """One token [hidden] and one vector [width] per key, float32. Not thread-safe: it belongs to one engine.

    Holds at most `max_bytes`, plus about 150 bytes per item for the keys. Row 0 is all zeros, for keys not cached.
    """

    def __init__(self, hidden: int, width: int, max_bytes: int, device: torch.device) -> None:
        self.capacity = max(1, max_bytes // (4 * (hidden + width)) - 1)
        self._rows: OrderedDict[bytes, int] = OrderedDict()
        self._tokens = torch.zeros(1, hidden, device=device)
        self._vectors = torch.zeros(1, width, device=device)

    def __len__(self) -> int:
        return len(self._rows)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """The indices of `keys` that are not cached, each key once. Marks the others as used."""
        missing: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key in self._rows:
                self._rows.move_to_end(key)
            else:
                missing.setdefault(key, place)
        return list(missing.values())

    def put(self, keys: Sequence[bytes], tokens: Tensor, vectors: Tensor) -> None:
        """Cache one row per key, none of them cached so far, and evict the least recently used beyond the bound."""
        if len(keys) > self.capacity:
            raise ValueError(f"{len(keys)} items at once, but the cache holds at most {self.capacity}")
        held = len(self._rows)
        freed = [self._rows.popitem(last=False)[1] for _ in range(held + len(keys) - self.capacity)]
        rows = [*freed, *range(held + 1, held + 1 + len(keys) - len(freed))]
        self._grow(max(rows, default=0) + 1)
        self._rows.update(zip(keys, rows, strict=True))
        self._tokens[rows] = tokens
        self._vectors[rows] = vectors

    def take(self, keys: Sequence[bytes]) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of the tokens [n, hidden] and vectors [n, width], zeros for missing keys; and which are cached, [n].

        The last is in CPU memory, so that reading it needs no synchronization with a GPU.
        """
        rows = torch.tensor([self._rows.get(key, 0) for key in keys], dtype=torch.int64)
        there = rows.to(self._tokens.device, non_blocking=True)
        return self._tokens[there], self._vectors[there], rows > 0

    def reserve(self, count: int) -> None:
        """Raise the bound, if necessary, so that `count` rows and some others fit."""
        self.capacity = max(self.capacity, count + _FIRST)

    def clear(self) -> None:
        self._rows.clear()

    def _grow(self, wanted: int) -> None:
        if wanted <= len(self._tokens):
            return
        size = min(self.capacity + 1, max(wanted, _FIRST, 2 * len(self._tokens)))
        for name in ("_tokens", "_vectors"):
            old = getattr(self, name)
            new = old.new_zeros(size, old.shape[1])
            new[: len(old)] = old
            setattr(self, name, new)
