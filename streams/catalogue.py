"""The items that a worker holds: their numbers, texts, attributes, and who may see them.

An item takes about 2.3 KiB, its own text, and what `streams.vectors` states. Numbers are never given back, so that the
item graph can share them: a catalogue that changes wholly needs a restart of the worker to become small again.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

from schemas.items import Item
from schemas.limits import MAX_ATTRIBUTES
from schemas.scoring import MAX_ABOUT, Candidate
from schemas.seen import SeenRule
from streams.context import Context, digest
from streams.errors import IndexFull
from streams.likeness import Likeness
from streams.marks import as_of, hidden
from streams.vectors import Vectors

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


MAX_ITEMS = 1_000_000
"""Items that are numbered: the catalogue's, and those that only events name. About 2.3 GiB when all are used."""


class ItemIndex:
    """Item ids, numbered from 0 in the order in which they are met, `limit` at most."""

    def __init__(self, limit: int = MAX_ITEMS) -> None:
        self._limit = limit
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: int) -> str:
        return self._ids[number]

    def find(self, item: str) -> int | None:
        return self._numbers.get(item)

    def room(self, item: str) -> bool:
        """Whether the item has a number or can have one. Events can name items without end; they are not counted."""
        return len(self._ids) < self._limit or item in self._numbers

    def number(self, item: str) -> int:
        """The item's number; a new one if it was not met before. Raises `IndexFull` where there is none left."""
        if not self.room(item):
            raise IndexFull(f"{self._limit:,} items are numbered: restart the worker to drop those that were withdrawn")
        number = self._numbers.setdefault(item, len(self._ids))
        if number == len(self._ids):
            self._ids.append(item)
        return number


class Catalogue:
    """What `ouzel.items` says now."""

    def __init__(self, index: ItemIndex | None = None) -> None:
        self.index = ItemIndex() if index is None else index
        self.likeness = Likeness()
        self.vectors = Vectors()
        self._items: dict[int, Item] = {}
        self._live = np.zeros(64, np.bool_)
        self._published = np.zeros(64, np.int64)
        self._attributes = np.zeros((64, 1), np.int32)
        self._names: list[str] = [""]
        self._named: dict[str, int] = {}
        self._having = np.zeros(64)
        self._digests = array("Q")
        self._marks = np.zeros(0, np.uint64)
        self._marked = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Add an item, or replace what was said of it."""
        number = self.index.number(item.id)
        self._reserve(number)
        before = self.described(number) if number in self._items else None
        self._set_attributes(number, item.attributes)
        self._items[number] = item
        self._live[number] = True
        self._published[number] = item.published or 0
        self.likeness.put(number, item)
        if self.described(number) != before:
            self.vectors.want(number)

    def withdraw(self, item: str) -> None:
        """Take an item out. It is recommended no more, and its text is forgotten."""
        number = self.index.find(item)
        if number is None or self._items.pop(number, None) is None:
            return
        self._set_attributes(number, ())
        self._live[number] = False
        self.likeness.put(number, None)
        self.vectors.drop(number)

    def get(self, item: str) -> Item | None:
        number = self.index.find(item)
        return None if number is None else self._items.get(number)

    def holds(self, number: int) -> bool:
        return number in self._items

    def at(self, number: int) -> Item:
        """The item of that number; KeyError if it is withdrawn or was never added."""
        return self._items[number]

    def text(self, number: int) -> str:
        """The item as a model reads it in full text: its title alone, since every token costs time in every list."""
        return self._items[number].title

    def about(self, number: int) -> str:
        """What else is said of the item, for a model that reads it once: attributes and description, cut."""
        item = self._items[number]
        return ". ".join(part for part in (", ".join(item.attributes), item.text) if part)[:MAX_ABOUT]

    def described(self, number: int) -> Candidate:
        """The item as the model plane is told of it."""
        return Candidate(self.text(number), self.index[number], self.about(number))

    def allowed(self, context: Context, now_ms: int, rule: SeenRule) -> Bools:
        """Whether each number may be shown to this person now: published, held, not seen. bool [len(index)]."""
        count = len(self.index)
        self._reserve(count)
        allowed: Bools = self._live[:count] & (self._published[:count] <= now_ms)
        allowed[self.seen(context, now_ms, rule)] = False
        return allowed

    def seen(self, context: Context, now_ms: int, rule: SeenRule) -> Ints:
        """The numbers of what the person has seen by a rule and this catalogue has met."""
        self._mark()
        seen = hidden(context.seen, as_of(context.seen, context.seen_as, context.ts), rule, now_ms)
        if not len(self._marks) or not len(seen):
            return np.zeros(0, np.int64)
        at = np.searchsorted(self._marks, seen).clip(max=len(self._marks) - 1)
        return np.asarray(self._marked[at[self._marks[at] == seen]], np.int64)

    def marks(self) -> NDArray[np.uint64]:
        """The digests under which contexts remember items, by number, uint64 [len(index)]."""
        self._mark()
        return np.frombuffer(self._digests, np.uint64)

    def published(self) -> Ints:
        """When each number may first be shown, milliseconds since 1970, 0 where that is not said. [len(index)]."""
        self._reserve(len(self.index))
        return self._published[: len(self.index)]

    def attributes(self) -> tuple[NDArray[np.int32], int]:
        """Attribute numbers by item number, int32 [len(index), w], filled with 0 (none); and how many there are."""
        self._reserve(len(self.index))
        return self._attributes[: len(self.index)], len(self._names)

    def attribute(self, number: int) -> str:
        return self._names[number]

    def rarity(self) -> NDArray[np.float64]:
        """log of how rare each attribute is among the items held, from 0; 0 for attribute 0."""
        having = self._having[: len(self._names)].copy()
        having[0] = len(self._items)  # no attribute: every item has it
        return np.asarray(np.log((len(self._items) + 1.0) / (having + 1.0)).clip(0.0))

    def _mark(self) -> None:
        if len(self._digests) != len(self.index):
            new = (digest(self.index[number]) for number in range(len(self._digests), len(self.index)))
            self._digests = array("Q", (*self._digests, *new))
            marks = np.frombuffer(self._digests, np.uint64)
            self._marked = np.argsort(marks)
            self._marks = marks[self._marked]

    def _set_attributes(self, number: int, names: tuple[str, ...]) -> None:
        self._having[self._attributes[number]] -= 1
        named = [self._attribute(name) for name in dict.fromkeys(names[:MAX_ATTRIBUTES])]
        if len(named) > self._attributes.shape[1]:
            wider = np.zeros((len(self._attributes), len(named)), np.int32)
            wider[:, : self._attributes.shape[1]] = self._attributes
            self._attributes = wider
        self._attributes[number] = 0
        self._attributes[number, : len(named)] = named
        self._having[self._attributes[number]] += 1

    def _attribute(self, name: str) -> int:
        number = self._named.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
            if number >= len(self._having):
                self._having = np.concatenate((self._having, np.zeros(len(self._having))))
        return number

    def _reserve(self, number: int) -> None:
        missing = number + 1 - len(self._live)
        if missing > 0:
            more = max(missing, len(self._live))
            self._live = np.concatenate((self._live, np.zeros(more, np.bool_)))
            self._published = np.concatenate((self._published, np.zeros(more, np.int64)))
            empty = np.zeros((more, self._attributes.shape[1]), np.int32)
            self._attributes = np.concatenate((self._attributes, empty))
