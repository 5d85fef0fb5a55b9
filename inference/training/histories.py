"""Training data: a stream of events as parallel arrays, and the history of each user and scene. Pure."""

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
    """A stream of n events in order, in parallel arrays of length n.

    `history` int64: the number of the event's history, which is one user's events in one scene, as `owners` numbers
    them. `item` int64: the index of its item in `items`, or `NO_ITEM` if it has no known item. `feeling` int64: -2 to
    2. `ts` int64: milliseconds, non-decreasing. `weight` float32: the event's weight as a target, 1 unless the item's
    propensity is known. Takes about 40 bytes per event.
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
        """From events in order of time. Raises `ValueError` if they are not sorted."""
        place = {item: at for at, item in enumerate(items)}
        known = owners(events)
        ts = np.array([event.ts for event in events], np.int64)
        if len(ts) and (np.diff(ts) < 0).any():
            raise ValueError("the events are not in order of time; sort them by `ts`")
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
    def sequences(self) -> tuple[Ints, ...]:
        """The events with an item of each history, as indices into the stream."""
        with_item = np.flatnonzero(self.item != NO_ITEM)
        owners = self.history[with_item]
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=int(self.history.max(initial=-1)) + 1))[:-1]
        return tuple(np.split(with_item[order], ends))

    def gaps(self, places: Ints) -> Ints:
        """Buckets of the time since the previous event, for events of one history; the first has no previous event."""
        return gap_buckets(np.diff(self.ts[places], prepend=-np.inf) / 1000)

    def first(self, count: int) -> "Histories":
        """The first `count` events."""
        parts = (self.history, self.item, self.feeling, self.ts, self.weight)
        return Histories(self.items, *(part[:count] for part in parts))  # type: ignore[arg-type]

    def before(self, cut: int) -> int:
        """The last index at or before `cut` where time advances: the events before it are the same in any tie order."""
        while 0 < cut < len(self) and self.ts[cut] == self.ts[cut - 1]:
            cut -= 1
        return cut

    def met(self, cut: int) -> NDArray[np.bool_]:
        """Which items occur in the first `cut` events, bool [items]."""
        found = np.zeros(len(self.items), np.bool_)
        named = self.item[:cut]
        found[named[named != NO_ITEM]] = True
        return found
