"""A worker's items: their numbers, texts and attributes, and the filter for a user's lists.

An item takes about 2.3 KiB, its text, and the memory stated in `streams.items.vectors`. Item numbers are never reused,
since a list in progress may hold one: after a complete change of the catalogue, only a restart frees the memory.
"""

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from schemas.items import Item
from schemas.limits import MAX_ATTRIBUTES
from schemas.scoring import MAX_ABOUT, Candidate
from schemas.seen import SeenRule
from streams.fold.context import Context, digest
from streams.fold.marking import UNKEYED, Marking
from streams.fold.seen_marks import as_of, hidden
from streams.items.index import ItemIndex
from streams.items.mark_table import MarkTable
from streams.items.search import SearchIndex
from streams.items.text_similarity import Likeness
from streams.items.vectors import Affinities, Vectors

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Catalogue:
    """The current state of `ouzel.items`.

    `vectors` are those of the model version that makes the lists, `second` those of one other version, if any. `search`
    is None unless the worker searches; set it before the first item.
    """

    def __init__(self, index: ItemIndex | None = None) -> None:
        self.index = ItemIndex() if index is None else index
        self.likeness = Likeness()
        self.vectors = Vectors()
        self.second: Vectors | None = None
        self.search: SearchIndex | None = None
        self._items: dict[int, Item] = {}
        self._live = np.zeros(64, np.bool_)
        self._published = np.zeros(64, np.int64)
        self._attributes = np.zeros((64, 1), np.int32)
        self._names: list[str] = [""]
        self._named: dict[str, int] = {}
        self._unused: list[int] = []
        self._having = np.zeros(64)
        self._marks = np.zeros(64, np.uint64)
        self._tables: WeakKeyDictionary[Marking, MarkTable] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Add or replace an item. Raises `IndexFull` at the limit."""
        number = self._claim(item.id)
        replaced = self._items.get(number)
        before = None if replaced is None else self.described(number)
        self._set_attributes(number, item.attributes)
        self._items[number] = item
        self._live[number] = True
        self._published[number] = item.published or 0
        self.likeness.put(number, item)
        if self.search is not None:
            self.search.put(number, replaced, item)
        if self.described(number) != before:
            self.vectors.want(number)
            if self.second is not None:
                self.second.want(number)

    def withdraw(self, item: str) -> None:
        """Remove an item and its text. It is no longer recommended."""
        number = self.index.find(item)
        withdrawn = None if number is None else self._items.pop(number, None)
        if number is None or withdrawn is None:
            return
        if self.search is not None:
            self.search.put(number, withdrawn, None)
        self._set_attributes(number, ())
        self._live[number] = False
        self.likeness.put(number, None)
        self.vectors.drop(number)
        if self.second is not None:
            self.second.drop(number)

    def open_second(self) -> Vectors:
        """Replace the second set by one in which every item waits. One pass over the items."""
        self.second = Vectors.of(list(self._items))
        return self.second

    def swap_vectors(self) -> None:
        """Make the second set the first, and the first the second. A list in progress holds the set that it began
        with."""
        if self.second is not None:
            self.vectors, self.second = self.second, self.vectors

    def affinity(
        self, vector: tuple[float, ...], version: str, count: int, asked: Vectors | None = None
    ) -> Affinities | None:
        """The affinity of a context with the first `count` items, by the vectors of the version that gave `vector`:
        `asked`, or one of the two sets. None if none of them is of this version (`Vectors.affinity`)."""
        for vectors in (asked, self.vectors, self.second):
            found = None if vectors is None else vectors.affinity(vector, version, count)
            if found is not None:
                return found
        return None

    def get(self, item: str) -> Item | None:
        number = self.index.find(item)
        return None if number is None else self._items.get(number)

    def holds(self, number: int) -> bool:
        return number in self._items

    def at(self, number: int) -> Item:
        """The item with a number. Raises KeyError if it is withdrawn or was never added."""
        return self._items[number]

    def text(self, number: int) -> str:
        """The item's text for full-text models: only the title, since every token costs time in every list."""
        return self._items[number].title

    def about(self, number: int) -> str:
        """The item's attributes and description, truncated, for models that read each item once."""
        item = self._items[number]
        return ". ".join(part for part in (", ".join(item.attributes), item.text) if part)[:MAX_ABOUT]

    def described(self, number: int) -> Candidate:
        """The item as sent to the model plane."""
        return Candidate(self.text(number), self.index[number], self.about(number))

    def allowed(self, context: Context, now_ms: int, rule: SeenRule, marking: Marking = UNKEYED) -> Bools:
        """The items that may be shown to a user now: published, in the catalogue, not seen. bool [len(index)]."""
        count = len(self.index)
        allowed: Bools = self._live[:count] & (self._published[:count] <= now_ms)
        allowed[self.seen(context, now_ms, rule, marking)] = False
        return allowed

    def seen(self, context: Context, now_ms: int, rule: SeenRule, marking: Marking = UNKEYED) -> Ints:
        """The numbers of the items that the user has seen by a rule. `marking` is how the context marks them."""
        digests = hidden(context.seen, as_of(context.seen, context.seen_as, context.ts), rule, now_ms)
        found = self._table(marking).find(digests)
        return np.concatenate((found, self._table(UNKEYED).find(digests))) if marking.mixed else found

    def unmarked(self, marking: Marking) -> int:
        """How many items `seen` would have to mark first; `mark` does so ahead of time."""
        return sum(len(self.index) - len(self._tables.get(each, ())) for each in _of(marking))

    def mark(self, marking: Marking, count: int) -> None:
        """Mark up to `count` more items, at one or two microseconds each. New items are then marked as they arrive."""
        for each in _of(marking):
            table = self._tables.setdefault(each, MarkTable())
            for number in range(len(table), min(len(table) + count, len(self.index))):
                table.add(each.digest(self.index[number]), number)

    def marks(self) -> NDArray[np.uint64]:
        """The XXH3 digest of each item, for breaking ties, the same in every worker. By number, uint64 [len(index)]."""
        return self._marks[: len(self.index)]

    def published(self) -> Ints:
        """When each item may first be shown, in milliseconds since 1970, 0 if not given. By number, [len(index)]."""
        return self._published[: len(self.index)]

    def attributes(self) -> tuple[NDArray[np.int32], int]:
        """Attribute numbers by item number, int32 [len(index), w], padded with 0; and the number of attributes."""
        return self._attributes[: len(self.index)], len(self._names)

    def attribute(self, number: int) -> str:
        return self._names[number]

    def attribute_number(self, name: str) -> int | None:
        return self._named.get(name)

    def attribute_names(self) -> list[str]:
        """The attributes of the items, those of most items first."""
        return sorted(self._named, key=lambda name: (-self._having[self._named[name]], name))

    def rarity(self) -> NDArray[np.float64]:
        """The log inverse frequency of each attribute among the items, at least 0; 0 for attribute 0."""
        having = self._having[: len(self._names)].copy()
        having[0] = len(self._items)  # attribute 0 means none, which every item has
        return np.asarray(np.log((len(self._items) + 1.0) / (having + 1.0)).clip(0.0))

    def _claim(self, item: str) -> int:
        before = len(self.index)
        number = self.index.claim(item)
        if len(self.index) > before:
            self._reserve(number)
            self._marks[number] = digest(item)
            for marking, table in self._tables.items():
                if len(table) == number:  # otherwise `mark` is still filling it
                    table.add(marking.digest(item), number)
        return number

    def _table(self, marking: Marking) -> MarkTable:
        table = self._tables.get(marking)
        if table is None or len(table) < len(self.index):
            self.mark(marking, len(self.index))
            table = self._tables[marking]
        return table

    def _set_attributes(self, number: int, names: tuple[str, ...]) -> None:
        before = self._attributes[number].copy()
        self._having[before] -= 1
        named = [self._attribute(name) for name in dict.fromkeys(names[:MAX_ATTRIBUTES])]
        if len(named) > self._attributes.shape[1]:
            wider = np.zeros((len(self._attributes), len(named)), np.int32)
            wider[:, : self._attributes.shape[1]] = self._attributes
            self._attributes = wider
        self._attributes[number] = 0
        self._attributes[number, : len(named)] = named
        self._having[self._attributes[number]] += 1
        for attribute in before[(before > 0) & (self._having[before] == 0)].tolist():
            del self._named[self._names[attribute]]
            self._unused.append(attribute)

    def _attribute(self, name: str) -> int:
        number = self._named.get(name)
        if number is None:
            if self._unused:
                number = self._unused.pop()
                self._names[number] = name
            else:
                number = len(self._names)
                self._names.append(name)
                if number >= len(self._having):
                    self._having = np.concatenate((self._having, np.zeros(len(self._having))))
            self._named[name] = number
        return number

    def _reserve(self, number: int) -> None:
        missing = number + 1 - len(self._live)
        if missing > 0:
            more = max(missing, len(self._live))
            self._live = np.concatenate((self._live, np.zeros(more, np.bool_)))
            self._published = np.concatenate((self._published, np.zeros(more, np.int64)))
            self._marks = np.concatenate((self._marks, np.zeros(more, np.uint64)))
            empty = np.zeros((more, self._attributes.shape[1]), np.int32)
            self._attributes = np.concatenate((self._attributes, empty))


def _of(marking: Marking) -> tuple[Marking, ...]:
    """The markings that a mixed marking combines."""
    return (marking, UNKEYED) if marking.mixed else (marking,)
