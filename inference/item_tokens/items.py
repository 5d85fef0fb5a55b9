"""What an adapter makes of items: a token and a vector each, from their readings, kept in memory.

Items are read for a caller that waits for them, or are wanted and read later: a list does not wait.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from inference.item_tokens.adapter import Adapter
from inference.item_tokens.item_cache import KeptItems
from inference.item_tokens.reading import compose, digest
from inference.item_tokens.readings import Readings
from schemas.scoring import Candidate, Past

_TOGETHER = 16
"""Rows in which tokens and vectors are computed, always so many: then they depend on the reading alone, to the bit."""

_MAX_WANTED = 1_024
"""Items that lists lacked and that are remembered. A later list asks again for those beyond."""

Item = Past | Candidate
Pause = Callable[[], None] | None
"""Called between the layers of a pass; other methods may be called within it. What it raises ends the pass."""


class Items:
    """Tokens [hidden] and vectors [width] of items, those of at most `max_bytes` at once. For one thread at a time."""

    def __init__(self, adapter: Adapter, readings: Readings, max_bytes: int, device: torch.device) -> None:
        self._readings = readings
        self._device = device
        self._heads = adapter.heads.to(device)
        self._residuals = adapter.residuals.to(device)
        self._rows = {item: row for row, item in enumerate(adapter.items, 1)}
        self._kept = KeptItems(adapter.shape.hidden, adapter.shape.vector, max_bytes, device)
        self._wanted: dict[bytes, Item] = {}
        with torch.inference_mode():
            self.average = self._vectors(torch.zeros(1, adapter.shape.reading, device=device), [0])
        """The vector [1, width] of the item with the mean reading."""

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def capacity(self) -> int:
        return self._kept.capacity

    @property
    def wanted(self) -> bool:
        """Whether `tend` has something to read."""
        return bool(self._wanted)

    def row(self, item: Item) -> int:
        """Where what was learned of this item alone stands, from 1 on; 0 for one that the adapter did not meet."""
        return self._rows.get(item.item, 0)

    def key(self, item: Item) -> bytes:
        """What an item's token and vector depend on: its text, and what was learned of it."""
        return digest(compose(item.text, item.about)) + self.row(item).to_bytes(4, "little")

    def take(self, keys: Sequence[bytes]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, vectors, and which are kept (`KeptItems.take`)."""
        return self._kept.take(keys)

    def read(self, items: Sequence[Item], most: int, pause: Pause = None) -> Iterator[int]:
        """Have the `items` that are not kept: those with a reading in the store, and of the others the first `most`,
        which the model reads. Gives, after each of its passes, how many it read. The rest is wanted from now on."""
        fresh = [items[place] for place in self._kept.lacking([self.key(item) for item in items])]
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
        """The vectors of `items`, [n, width]; those that are not kept are read, after what is wanted."""
        keys = [self.key(item) for item in items]
        # A pass at a time, since lists come in between: what they had read is not read again, and what they evicted is.
        while self._kept.lacking(keys):
            next(self.read(items, len(items), pause), None)
            self.tend(pause)
        return self._kept.take(keys)[1]

    def tend(self, pause: Pause = None) -> None:
        """Read what is wanted."""
        wanted, self._wanted = self._wanted, {}
        for _ in self.read(list(wanted.values()), len(wanted), pause):
            pass

    def try_out(self, items: Sequence[Item]) -> None:
        """Have some items of our own, which are not looked for in the store and not put there."""
        self._keep(items, self._readings.reader.read([compose(item.text, item.about) for item in items]))

    def clear(self) -> None:
        """Forget all in memory."""
        self._kept.clear()
        self._wanted.clear()

    def _want(self, items: Sequence[Item]) -> None:
        self._wanted |= {self.key(item): item for item in items}
        while len(self._wanted) > _MAX_WANTED:
            del self._wanted[next(iter(self._wanted))]

    @torch.inference_mode()
    def _keep(self, items: Sequence[Item], readings: Tensor) -> None:
        """Keep what the adapter makes of `items` by their readings [n, depths, hidden], where it is not kept by now."""
        for begin in range(0, len(items), _TOGETHER):
            some = items[begin : begin + _TOGETHER]
            keys = [self.key(item) for item in some]
            new = self._kept.lacking(keys)
            if new:
                given = readings.new_zeros(_TOGETHER, *readings.shape[1:])
                given[: len(some)] = readings[begin : begin + _TOGETHER]
                centred = self._heads.centred(given.to(self._device))
                rows = [*map(self.row, some), *[0] * (_TOGETHER - len(some))]
                told = self._residuals.tokens(torch.tensor(rows, device=self._device)) if self._rows else None
                tokens, vectors = self._heads.tokens(centred, told), self._vectors(centred, rows)
                self._kept.put([keys[place] for place in new], tokens[new], vectors[new])

    def _vectors(self, readings: Tensor, rows: Sequence[int]) -> Tensor:
        """The vectors of items by their centred readings and what was learned of them."""
        learned = torch.tensor(rows, device=self._device)
        found = self._heads.vectors(readings, self._residuals.vectors(learned) if self._rows else None)
        tower = self._residuals.tower
        return found if tower is None else torch.cat((found, tower.item(learned)), dim=-1)
