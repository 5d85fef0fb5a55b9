"""A wish: what a sentence asks for, in the space of attributes and items. Pure."""

import re
from dataclasses import dataclass

from streams.items.catalogue import Catalogue

MAX_ATTRIBUTES = 64
"""Attributes of the catalogue that a sentence may be about. Of more, those that share a word with it and those of most
items are offered to the model."""

MAX_TITLES = 8
"""Items whose title a sentence may name."""

_NEAREST = 64
_SHORTEST = 4
"""Letters of a word that must be in the sentence for a title to be named; articles and years are not needed."""

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Wish:
    """A sentence with its end, in milliseconds, and what it asks for: more (above 0, at most 1) or less (below 0, at
    least -1) of attributes, by name, and of items like some, by number. `read`: whether the model has read it."""

    text: str
    until_ms: int
    attributes: tuple[tuple[str, float], ...] = ()
    items: tuple[tuple[int, float], ...] = ()
    read: bool = True


@dataclass(frozen=True)
class Offer:
    """Of what a sentence may ask for more or less: attributes, and items by number with their titles."""

    attributes: tuple[str, ...]
    items: tuple[int, ...]
    titles: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.attributes + self.titles

    def meant(
        self, strengths: tuple[float, ...]
    ) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[int, float], ...]]:
        """Attributes and items with a strength other than 0, from one strength for each of `names`."""
        at = len(self.attributes)
        of_items = strengths[at:]
        return (
            tuple((name, one) for name, one in zip(self.attributes, strengths[:at], strict=True) if one),
            tuple((number, one) for number, one in zip(self.items, of_items, strict=True) if one),
        )


def offer(catalogue: Catalogue, sentence: str) -> Offer:
    """What of a catalogue a sentence may be about."""
    said = _words(sentence)
    names = catalogue.attribute_names()
    if len(names) > MAX_ATTRIBUTES:
        names = sorted(names, key=lambda name: not any(_alike(word, other) for word in _words(name) for other in said))
    # In an order that does not change with the counts: what was read is held for these names.
    taken = sorted(names[:MAX_ATTRIBUTES])
    named: dict[frozenset[str], tuple[int, str]] = {}
    for number in catalogue.likeness.nearest(sentence, _NEAREST):
        if not catalogue.holds(number):
            continue
        title = catalogue.at(number).title
        needed = frozenset(word for word in _words(title) if len(word) >= _SHORTEST)
        if not needed or not needed <= said or title in taken:
            continue
        # Of "Alien", "Alien 3" and a second "Alien", the first is meant.
        if needed not in named or len(title) < len(named[needed][1]):
            named[needed] = (number, title)
    found = list(named.values())[:MAX_TITLES]
    return Offer(tuple(taken), tuple(number for number, _ in found), tuple(title for _, title in found))


def combined(wishes: tuple[Wish, ...]) -> tuple[dict[str, float], dict[int, float]]:
    """What all wishes together ask for, by attribute and by item: of two about the same, the later one counts."""
    attributes: dict[str, float] = {}
    items: dict[int, float] = {}
    for wish in wishes:
        attributes |= dict(wish.attributes)
        items |= dict(wish.items)
    return attributes, items


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _alike(word: str, other: str) -> bool:
    """Whether two words are one, up to an ending of two letters."""
    stem = max(min(len(word), len(other)) - 2, _SHORTEST - 1)
    return word == other or (len(word) >= stem and word[:stem] == other[:stem])
