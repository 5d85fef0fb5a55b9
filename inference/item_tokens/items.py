"""The tokens and vectors of items, which an adapter computes from their readings, cached in memory.

Items are read immediately for callers that need them; items that a list lacks are queued and read later, since a list
does not wait.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from inference.item_tokens.adapter import Adapter
from inference.item_tokens.item_cache import ItemCache
from inference.item_tokens.reading import compose, digest
from inference.item_tokens.readings import Readings
from inference.item_tokens.vectors import ItemRows
from schemas.scoring import Candidate, Past

_TOGETHER = 16
"""Fixed batch size for computing tokens and vectors, so that results depend on the reading alone, bit for bit."""

_MAX_WANTED = 1_024
"""Maximum queued items that lists lacked. Later lists queue the others again."""

Item = Past | Candidate
Pause = Callable[[], None] | None
"""Called between the layers of a pass; it may call other methods. An exception from it ends the pass."""


class Items:
    """Tokens [hidden] and vectors [width] of items, cached within `max_bytes`. For one thread at a time."""

    def __init__(self, adapter: Adapter, readings: Readings, max_bytes: int, device: torch.device) -> None:
        self._readings = readings
        self._device = device
        self._heads = adapter.heads.to(device)
        self._residuals = adapter.residuals.to(device)
        self._rows = {item: row for row, item in enumerate(adapter.items, 1)}
        self._cache = ItemCache(adapter.shape.hidden, adapter.shape.vector, max_bytes, device)
        self._wanted: dict[bytes, Item] = {}
        with torch.inference_mode():
            self.average = self._vectors(torch.zeros(1, adapter.shape.reading, device=device), [0])
        """The vector [1, width] of an item with the mean reading."""

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def capacity(self) -> int:
        return self._cache.capacity

    @property
    def wanted(self) -> bool:
        """Whether `tend` has something to read."""
        return bool(self._wanted)

    def row(self, item: Item) -> int:
        """The item's row in the residuals, from 1; 0 for items unseen in training."""
        return self._rows.get(item.item, 0)

    def key(self, item: Item) -> bytes:
        """The cache key of an item: a digest of its text, and its row in the residuals."""
        return digest(compose(item.text, item.about)) + self.row(item).to_bytes(4, "little")

    def take(self, keys: Sequence[bytes]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, vectors, and which are cached (`ItemCache.take`)."""
        return self._cache.take(keys)

    def read(self, items: Sequence[Item], most: int, pause: Pause = None) -> Iterator[int]:
        """Cache the `items` that are missing: those with stored readings, and the first `most` of the others, which the
        model reads. Yields the number read after each pass. Queues the rest."""
        fresh = [items[place] for place in self._cache.missing([self.key(item) for item in items])]
        texts = [compose(item.text, item.about) for item in fresh]
        known, readings = self._readings.kept(texts)
        self._keep([fresh[place] for place in known], readings)
        left = sorted(set(range(len(fresh))).difference(known))
        self._want([fresh[place] for place in left[most:]])
        alike: dict[str, list[Item]] = {}
        for place in left[:most]:
            alike.setdefault(texts[place], []).append(fresh[place])
        once = list(alike)
        for places, readings in self._readings.read(once, pause):
            owners = [(item, at) for at, place in enumerate(places) for item in alike[once[place]]]
            self._keep([item for item, _ in owners], readings[[at for _, at in owners]])
            yield len(places)

    def have(self, items: Sequence[Item], pause: Pause = None) -> Tensor:
        """The vectors of `items`, [n, width]. Reads missing items, and those queued by lists."""
        keys = [self.key(item) for item in items]
        # One pass at a time, since lists run in between: they may read some of these items, and evict others.
        while self._cache.missing(keys):
            next(self.read(items, len(items), pause), None)
            self.tend(pause)
        return self._cache.take(keys)[1]

    def rows(self, items: Sequence[Item]) -> ItemRows:
        """The rows of `items`, each key once. Reads missing items, and raises the cache's bound if they would not
        fit."""
        keyed = {self.key(item): item for item in items}
        self._cache.reserve(len(keyed))
        self.have(list(keyed.values()))
        tokens, vectors, _ = self._cache.take(list(keyed))
        return ItemRows(list(keyed), tokens, vectors)

    @torch.inference_mode()
    def fill(self, rows: ItemRows) -> None:
        """Cache `rows`, and raise the cache's bound if they would not fit."""
        self._cache.reserve(len(rows.keys))
        new = self._cache.missing(rows.keys)
        keys = [rows.keys[place] for place in new]
        self._cache.put(keys, rows.tokens[new].to(self._device), rows.vectors[new].to(self._device))

    def tend(self, pause: Pause = None) -> None:
        """Read the queued items."""
        wanted, self._wanted = self._wanted, {}
        for _ in self.read(list(wanted.values()), len(wanted), pause):
            pass

    def read_unstored(self, items: Sequence[Item]) -> None:
        """Read and cache items without looking in the reading store or writing to it."""
        self._keep(items, self._readings.reader.read([compose(item.text, item.about) for item in items]))

    def clear(self) -> None:
        """Clear the cache and the queue."""
        self._cache.clear()
        self._wanted.clear()

    def _want(self, items: Sequence[Item]) -> None:
        self._wanted |= {self.key(item): item for item in items}
        while len(self._wanted) > _MAX_WANTED:
            del self._wanted[next(iter(self._wanted))]

    @torch.inference_mode()
    def _keep(self, items: Sequence[Item], readings: Tensor) -> None:
        """Compute and cache tokens and vectors of `items` from their readings [n, depths, hidden], unless cached."""
        for begin in range(0, len(items), _TOGETHER):
            some = items[begin : begin + _TOGETHER]
            keys = [self.key(item) for item in some]
            new = self._cache.missing(keys)
            if new:
                given = readings.new_zeros(_TOGETHER, *readings.shape[1:])
                given[: len(some)] = readings[begin : begin + _TOGETHER]
                centred = self._heads.centred(given.to(self._device))
                rows = [*map(self.row, some), *[0] * (_TOGETHER - len(some))]
                residuals = self._residuals.tokens(torch.tensor(rows, device=self._device)) if self._rows else None
                tokens, vectors = self._heads.tokens(centred, residuals), self._vectors(centred, rows)
                self._cache.put([keys[place] for place in new], tokens[new], vectors[new])

    def _vectors(self, readings: Tensor, rows: Sequence[int]) -> Tensor:
        """The vectors of items from their centred readings and residuals."""
        learned = torch.tensor(rows, device=self._device)
        found = self._heads.vectors(readings, self._residuals.vectors(learned) if self._rows else None)
        tower = self._residuals.tower
        return found if tower is None else torch.cat((found, tower.item(learned)), dim=-1)
