"""Entries of lists that were shown and not taken, as parallel arrays beside the histories of their users. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from inference.training.feedback import Untaken
from inference.training.histories import Histories, Ints

NO_HISTORY = -1


@dataclass(frozen=True, eq=False)
class Impressions:
    """m lists of which something was not taken.

    `history` int64 [m]: the history of the user in the scene, `NO_HISTORY` where there is none. `place` int64 [m]: how
    many events of the stream happened before the list was published; these are its context. `closed` int64 [m]:
    milliseconds since 1970; a training up to an earlier time must not know of the list. `items`: for each list, the
    places of what was not taken among the histories' items, int64, at least one; `weights`: how much each counts.
    """

    history: Ints
    place: Ints
    closed: Ints
    items: tuple[Ints, ...]
    weights: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, lists: Sequence[Untaken], histories: Histories, owners: Mapping[tuple[str, str], int]) -> "Impressions":
        """Of `lists`; items that are not among the histories' are left out, and so are lists without any that is.
        `owners` numbers the histories."""
        places = {item: place for place, item in enumerate(histories.items)}
        found = []
        for each in lists:
            known = [at for at, item in enumerate(each.items) if item in places]
            if known:
                owner = owners.get((each.user, each.scene), NO_HISTORY)
                items = np.array([places[each.items[at]] for at in known], np.int64)
                weights = np.array([each.weights[at] for at in known], np.float32)
                found.append((each, owner, items, weights))
        published = np.array([each.published for each, *_ in found], np.int64)
        return cls(
            history=np.array([owner for _, owner, *_ in found], np.int64),
            place=np.searchsorted(histories.ts, published).astype(np.int64),
            closed=np.array([each.closed for each, *_ in found], np.int64),
            items=tuple(items for *_, items, _ in found),
            weights=tuple(weights for *_, weights in found),
        )

    def __len__(self) -> int:
        return len(self.items)

    def between(self, begin_ms: int, end_ms: int) -> Ints:
        """The lists that closed from `begin_ms` up to `end_ms`, by their places here."""
        return np.flatnonzero((self.closed >= begin_ms) & (self.closed <= end_ms))

    def digest(self) -> bytes:
        """Names the content: 16 bytes."""
        whole = blake2b(digest_size=16)
        for array in (self.history, self.place, self.closed, *self.items):
            whole.update(array.tobytes())
        for row in self.weights:
            whole.update(row.tobytes())
        return whole.digest()


_NONE = np.zeros(0, np.int64)
NO_IMPRESSIONS = Impressions(_NONE, _NONE, _NONE, (), ())
