"""A candidate source of your own: what is by the makers of what the user liked last.

    PYTHONPATH=examples OUZEL_SOURCES=custom_source:SAME_MAKER ouzel worker

The maker of an item is its attribute that begins with `maker:`. Lists name the source as `same_maker`, and the blend
learns from reactions how much its signal is worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.moment import Ints, Moment
from streams.candidates.source import Signal, Words

DECAY = 0.8
"""How much less a like counts than the one after it."""


def makers(moment: Moment) -> NDArray[np.float64]:
    """How much the user's last likes are by the maker of each item, float64 [n] by item number."""
    attributes, count = moment.catalogue.attributes()
    wanted = np.zeros(count)
    for back, number in enumerate(moment.known.likes.tolist()):
        if number >= 0:  # below 0 are items that no catalogue knows
            wanted[attributes[number]] += DECAY**back
    is_maker = [moment.catalogue.attribute(one).startswith("maker:") for one in range(count)]
    wanted[~np.array(is_maker)] = 0.0
    return wanted[attributes[: len(moment.allowed)]].sum(axis=1)


def measure(moment: Moment, numbers: Ints) -> NDArray[np.float64]:
    return moment.once(makers)[numbers]


@dataclass(frozen=True)
class SameMaker:
    name: str = "same_maker"
    size: int = 30
    signals: tuple[Signal, ...] = (Signal("same_maker", 0.3, measure),)
    reads_model: bool = False

    def propose(self, moment: Moment) -> Ints:
        return moment.best(moment.once(makers), self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        if not proposed:
            return None
        catalogue = moment.catalogue
        of_item = {name for name in catalogue.at(number).attributes if name.startswith("maker:")}
        for like in moment.known.likes.tolist():
            if catalogue.holds(like) and (shared := of_item & set(catalogue.at(like).attributes)):
                maker = min(shared).removeprefix("maker:")
                return Words(f"by {maker}, like {catalogue.at(like).title}", (like,))
        return None


SAME_MAKER = SameMaker()
