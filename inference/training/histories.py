"""What is trained on: a stream of events as parallel arrays, and each user's part of it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inference.item_tokens.heads import gap_buckets
from schemas.events import Event

Ints = NDArray[np.int64]

NO_ITEM = -1


def owners(events: Sequence[Event]) -> dict[tuple[str, str], int]:
    """The numbers of the histories in a stream, from 0 in order of their first event, by user and scene."""
    known: dict[tuple[str, str], int] = {}
    for event in events:
        known.setdefault((event.user, event.scene), len(known))
    return known


@dataclass(frozen=True, eq=False)
class Histories:
    """A stream of n events in its order, in parallel arrays of length n.

    `history` int64: the history that an event belongs to, as `owners` numbers them: what one user did in one scene.
    `item` int64: the place of its item in `items`, `NO_ITEM` where it has none that is known. `feeling` int64: -2 to 2,
    `ts` int64: milliseconds, never falling. `weight` float32: how much the event counts as a target, 1 unless it is
    known how likely it was that the item was shown. About 40 bytes an event.
    """

    items: tuple[str, ...]
    history: Ints
    item: Ints
    feeling: Ints
    ts: Ints
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        events: Sequence[Event],
        items: Sequence[str],
        feeling: Callable[[Event], int],
        weights: Sequence[float] | None = None,
    ) -> "Histories":
        """Of events in order of time. Raises `ValueError` where they are not."""
        place = {item: at for at, item in enumerate(items)}
        known = owners(events)
        ts = np.array([event.ts for event in events], np.int64)
        if len(ts) and (np.diff(ts) < 0).any():
            raise ValueError("the events are not in order of time; sort them by their `ts`")
        return cls(
            items=tuple(items),
            history=np.array([known[e.user, e.scene] for e in events], np.int64),
            item=np.array([NO_ITEM if e.item is None else place.get(e.item, NO_ITEM) for e in events], np.int64),
            feeling=np.array([feeling(event) for event in events], np.int64),
            ts=ts,
            weight=np.ones(len(events), np.float32) if weights is None else np.array(weights, np.float32),
        )

    def __len__(self) -> int:
        return len(self.ts)

    @cached_property
    def people(self) -> tuple[Ints, ...]:
        """The events of each history that have an item, by their places in the stream."""
        with_item = np.flatnonzero(self.item != NO_ITEM)
        owners = self.history[with_item]
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=int(self.history.max(initial=-1)) + 1))[:-1]
        return tuple(np.split(with_item[order], ends))

    def gaps(self, places: Ints) -> Ints:
        """Buckets of the time since the one before, for events of one history; the first, as if none was before."""
        return gap_buckets(np.diff(self.ts[places], prepend=-np.inf) / 1000)

    def first(self, count: int) -> "Histories":
        """The first `count` events alone."""
        parts = (self.history, self.item, self.feeling, self.ts, self.weight)
        return Histories(self.items, *(part[:count] for part in parts))  # type: ignore[arg-type]

    def before(self, cut: int) -> int:
        """The last place at or before `cut` at which time moves on: what is before it is the same for any tie order."""
        while 0 < cut < len(self) and self.ts[cut] == self.ts[cut - 1]:
            cut -= 1
        return cut

    def met(self, cut: int) -> NDArray[np.bool_]:
        """Which items the first `cut` events name, bool [items]."""
        found = np.zeros(len(self.items), np.bool_)
        named = self.item[:cut]
        found[named[named != NO_ITEM]] = True
        return found
