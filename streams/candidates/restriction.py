"""Which items a caller allows on a list. Pure.

A restriction holds before candidates are gathered: every source proposes among the items that it allows, so a list is
as long as asked for if enough of them may be shown. It says nothing of what the user has seen, nor of items that are
not published yet: those are left out as on any list.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.moment import Bools, Ints
from streams.items.catalogue import Catalogue


@dataclass(frozen=True)
class Restriction:
    """Items with all attributes of `all_of`, one or more of `any_of` (if it has any) and none of `none_of`; among
    `items`, if it is not None; and none of `without`."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    items: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    def allowed(self, catalogue: Catalogue) -> Bools:
        """The items that it allows, bool [n] by item number. Each attribute looks at every item once."""
        attributes, _ = catalogue.attributes()
        found: Bools = np.ones(len(attributes), np.bool_)
        for name in self.all_of:
            found &= _having(attributes, catalogue, (name,))
        if self.any_of:
            found &= _having(attributes, catalogue, self.any_of)
        if self.none_of:
            found &= ~_having(attributes, catalogue, self.none_of)
        if self.items is not None:
            among = np.zeros(len(attributes), np.bool_)
            among[_numbers(catalogue, self.items)] = True
            found &= among
        found[_numbers(catalogue, self.without)] = False
        return found


FREE = Restriction()


def _having(attributes: NDArray[np.int32], catalogue: Catalogue, names: tuple[str, ...]) -> Bools:
    """The items with one or more of these attributes."""
    numbers = [number for name in names if (number := catalogue.attribute_number(name)) is not None]
    having = np.isin(attributes, np.array(numbers, attributes.dtype))
    return np.asarray(having.any(axis=1))


def _numbers(catalogue: Catalogue, items: tuple[str, ...]) -> Ints:
    found = (catalogue.index.find(item) for item in items)
    return np.array([number for number in found if number is not None and number >= 0], np.int64)
