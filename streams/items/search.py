"""Search of a catalogue by words: an inverted index of titles, attributes and texts. Pure.

Text in any script is folded: case, width, ligatures and diacritics do not count. Words are runs of letters, digits and
marks; scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are indexed by pairs of
characters. An item matches a query if it has every word of it; the last word may be the beginning of one, as long as
nothing follows it. `streams.items.text_similarity` has other words, which its vectors were measured with.

An item is posted under at most `MAX_ITEM_WORDS` words, those of the title first: at most 256 bytes. The vocabulary has
at most `MAX_VOCABULARY` words, of about 250 bytes each. A query looks at each item once per word, of which it has at
most `MAX_QUERY_WORDS`, and at `MAX_POSTED` postings of those that begin as its last word does.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import NamedTuple
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from schemas.items import Item

MAX_QUERY = 80
"""Characters of a query."""

MAX_QUERY_WORDS = 8
MAX_ITEM_WORDS = 64
MAX_TEXT = 2_000
"""Characters of an item's text that are searched."""

MAX_VOCABULARY = 500_000
MAX_EXPANDED = 2_000
MAX_POSTED = 1_000_000

UNSORTED = 1_024
"""Words that wait to be sorted into the vocabulary."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_OPTIONAL = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]"
)
"""The marks that a writer may leave out: accents, points of Hebrew, vowels of Arabic. Those of other scripts count."""

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"})
"""Letters with a stroke or of two, which do not decompose."""

_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1780-\u17d3\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_MARKS = "".join(mark for mark in map(chr, range(0x0300, 0xFE30)) if category(mark)[0] == "M")
_RUN = re.compile(rf"([{_UNSPACED}]+)|(?:(?![{_UNSPACED}])(?:[^\W_]|[{_MARKS}]))+")


class Query(NamedTuple):
    """The `words` that an item must have, and the `beginnings` of others."""

    words: tuple[str, ...]
    beginnings: tuple[str, ...]


class Found(NamedTuple):
    """The `numbers` of the items that match, ascending, int64 [n]; for each, whether the title alone does, bool [n].
    `whole` is false if more items may match: too many words begin as the query ends, or the vocabulary is full."""

    numbers: Ints
    in_title: Bools
    whole: bool


def folded(text: str) -> str:
    """A text without what does not count."""
    plain = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFKC", _OPTIONAL.sub("", plain).translate(_LETTERS))


def query(text: str) -> Query:
    """The words of a query. Words beyond `MAX_QUERY_WORDS` are ignored, and so are characters beyond `MAX_QUERY`."""
    said = folded(text[:MAX_QUERY])
    words: list[str] = []
    beginnings: list[str] = []
    for run in _RUN.finditer(said):
        open_ = run.end() == len(said)
        if run[1] and len(run[1]) > 1:
            words += map("".join, pairwise(run[1]))
        elif run[1] or open_:
            beginnings.append(run[0])  # one character of such a script begins the pairs that it is in
        else:
            words.append(run[0])
    return Query(tuple(dict.fromkeys(words))[:MAX_QUERY_WORDS], tuple(beginnings[-2:]))


def words(text: str) -> Iterable[str]:
    """The words of an item's title, attributes or text."""
    for run in _RUN.finditer(folded(text)):
        if run[1]:
            yield from map("".join, pairwise(run[1]))
            yield run[1][-1]
        else:
            yield run[0]


def posted(item: Item) -> dict[str, bool]:
    """The words under which an item is found, each with whether it is in the title."""
    found = dict.fromkeys(islice(words(item.title), MAX_ITEM_WORDS), True)
    for part in (*item.attributes, item.text[:MAX_TEXT]):
        for word in words(part):
            if len(found) >= MAX_ITEM_WORDS:
                return found
            found.setdefault(word, False)
    return found


def foremost(found: Found, most: int, weights: NDArray[np.floating]) -> Found:
    """At most `most` of the items: those with a matching title first, then by weight, [n] by item number."""
    if len(found.numbers) <= most:
        return found
    known = np.zeros(len(found.numbers))
    held = found.numbers < len(weights)
    known[held] = weights[found.numbers[held]]
    best = np.sort(np.lexsort((-known, ~found.in_title))[:most])
    return Found(found.numbers[best], found.in_title[best], found.whole)


class SearchIndex:
    """The postings of a catalogue by word: item numbers, doubled, and odd where the word is in the title."""

    def __init__(self) -> None:
        self._postings: dict[str, array[int]] = {}
        self._sorted: list[str] = []
        self._unsorted: list[str] = []
        self._empty = 0
        self._size = 0
        self._full = False

    def put(self, number: int, before: Item | None, after: Item | None) -> None:
        """Replace an item by its new version; None for none."""
        old = {} if before is None else posted(before)
        new = {} if after is None else posted(after)
        self._size = max(self._size, number + 1)
        for word, in_title in old.items():
            if new.get(word) is not in_title:
                self._remove(word, 2 * number + in_title)
        for word, in_title in new.items():
            if old.get(word) is not in_title:
                self._add(word, 2 * number + in_title)

    def find(self, asked: Query) -> Found:
        """The items that match; none for a query without words."""
        masks, whole = [self._mask([word]) for word in asked.words], not self._full
        for beginning in asked.beginnings:
            some, all_of_them = self._begun(beginning)
            masks.append(self._mask(some))
            whole = whole and all_of_them
        if not masks:
            return Found(np.zeros(0, np.int64), np.zeros(0, np.bool_), whole=True)
        match = masks[0]
        for mask in masks[1:]:
            np.minimum(match, mask, out=match)
        numbers = np.flatnonzero(match)
        return Found(numbers, match[numbers] == 2, whole)

    def _mask(self, some: list[str]) -> NDArray[np.uint8]:
        """By item number: 2 for items with one of the words in the title, 1 for those with it elsewhere, else 0."""
        mask = np.zeros(self._size, np.uint8)
        postings = np.frombuffer(b"".join(self._postings[word] for word in some if word in self._postings), np.uint32)
        mask[postings >> 1] = 1
        mask[postings[postings & 1 == 1] >> 1] = 2
        return mask

    def _begun(self, beginning: str) -> tuple[list[str], bool]:
        """The words that begin like this, itself first, within the bounds; and whether these are all."""
        first = bisect_left(self._sorted, beginning)
        last = bisect_left(self._sorted, beginning + "\U0010ffff", first)
        found = [beginning] if beginning in self._postings else []
        found += [word for word in self._unsorted if word.startswith(beginning)]
        found += self._sorted[first : min(last, first + MAX_EXPANDED)]
        found = list(dict.fromkeys(found))
        room = MAX_POSTED
        for at, word in enumerate(found):
            room -= len(self._postings[word])
            if room < 0 and at:
                return found[:at], False
        return found, last - first <= MAX_EXPANDED

    def _add(self, word: str, posting: int) -> None:
        postings = self._postings.get(word)
        if postings is None:
            if len(self._postings) >= MAX_VOCABULARY:
                self._full = True
                return
            if len(self._unsorted) >= UNSORTED:
                self._sort()
            postings = self._postings[word] = array("I")
            self._unsorted.append(word)
        elif not postings:
            self._empty -= 1
        if not postings or postings[-1] < posting:
            postings.append(posting)
        else:
            postings.insert(bisect_left(postings, posting), posting)

    def _remove(self, word: str, posting: int) -> None:
        postings = self._postings.get(word, array("I"))
        at = bisect_left(postings, posting)
        if at < len(postings) and postings[at] == posting:
            del postings[at]
            self._empty += not postings

    def _sort(self) -> None:
        """Sort the new words in; a list of two sorted runs is merged, not sorted again. Drops the words of no item once
        they are many."""
        if self._empty > UNSORTED + len(self._sorted) // 8:
            self._sorted = [word for word in self._sorted if self._postings[word]]
            self._unsorted = [word for word in self._unsorted if self._postings[word]]
            self._postings = {word: self._postings[word] for word in (*self._sorted, *self._unsorted)}
            self._empty = 0
            self._full = False
        self._unsorted.sort()
        self._sorted += self._unsorted
        self._sorted.sort()
        self._unsorted.clear()
