"""Simulated likes of lists with a model and without it, and when the model would no longer be asked."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from streams.ranking.gain import Sums, Verdict, differences, verdict

LENGTH = 10
FIRST_LOOK, APART_LOOKS = 250, 1.1
"""The likes before the first look, and the ratio of those before the next one."""

APART_PLACES = 0.5
"""If both lists show an item, the odds of a difference of d places are this to the power of d."""


@dataclass(frozen=True)
class Model:
    """A model that adds `gain` to a hit ratio of `hits`; of a share `apart` of the likes, only one of the two lists
    shows the item."""

    gain: float
    apart: float = 0.15
    hits: float = 0.22

    @cached_property
    def likes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Every kind of like: its probability [k], and what it adds to `Sums` [k, 5]."""
        more, less = (self.apart + self.gain) / 2, (self.apart - self.gain) / 2
        pairs = list(product(range(LENGTH), repeat=2))
        odds = np.array([APART_PLACES ** abs(one - other) for one, other in pairs])
        kinds = [(place, None) for place in range(LENGTH)], [(None, place) for place in range(LENGTH)], pairs
        shares = np.full(LENGTH, more / LENGTH), np.full(LENGTH, less / LENGTH), (self.hits - less) * odds / odds.sum()
        found = np.concatenate((*shares, [1 - self.hits - more]))
        sums = [differences(*places) for places in (*kinds[0], *kinds[1], *kinds[2], (None, None))]
        return found, np.array(
            [(each.likes, each.hits, each.hit_squares, each.worth, each.worth_squares) for each in sums]
        )

    def stopped(self, margin: float, rng: np.random.Generator, *, most: int) -> int | None:
        """After how many likes of at most `most` the model adds nothing; None: never. Looks more often at the
        beginning: whenever there are a tenth more likes."""
        looks = [FIRST_LOOK]
        while looks[-1] * APART_LOOKS <= most:
            looks.append(int(looks[-1] * APART_LOOKS))
        chances, values = self.likes
        seen = np.cumsum(rng.multinomial(np.diff(looks, prepend=0), chances) @ values, axis=0)
        for likes, hits, squares, worth, worth_squares in seen.tolist():
            if verdict(Sums(int(likes), int(hits), int(squares), worth, worth_squares), margin) is Verdict.NOTHING:
                return int(likes)
        return None
