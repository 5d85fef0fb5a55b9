"""The input of a candidate source when it proposes items for one list. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.candidates.evidence import Evidence
from streams.fold.context import Context
from streams.graph.item_graph import ItemGraph, Reach
from streams.items.catalogue import Catalogue
from streams.items.vectors import Affinities
from streams.steering.wish import Wish
from streams.wording.language import Language, default

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Digests = NDArray[np.uint64]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Moment:
    """The user, the scene and the time of one list, with the catalogue and the item graph.

    `allowed`: bool [n] by item number, the items that may be on the list; n is the size of the catalogue's index when
    the list was begun, and the length of every array by item number. `known`: the items that the user liked, met and
    disliked last. `wishes`: the sentences of the user that hold. `language`: that of reasons. `affinities`: the model's
    affinity to every item, None until it has answered. `failures`: the custom sources that failed for this list, by
    name, each with the type of its error.
    """

    context: Context
    scene: str
    now_ms: int
    known: Evidence
    allowed: Bools
    catalogue: Catalogue
    graph: ItemGraph
    wishes: tuple[Wish, ...] = ()
    language: Language = field(default_factory=default)
    affinities: Affinities | None = None
    failures: dict[str, str] = field(default_factory=dict)
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def once(self, make: Callable[["Moment"], T]) -> T:
        """The value of `make(self)`, computed once per list. `make` must not read `affinities`, which come later."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def say(self, key: str, **facts: str) -> str:
        """A reason in the language of this list; the templates are in `streams/wording`."""
        return self.language.say("reason", key, **facts)

    def best(self, scores: NDArray[np.number[Any]], size: int, among: Bools | None = None) -> Ints:
        """The numbers of the `size` best items that may be shown, in no order. `scores` is [n] by item number.

        Only scores above 0 count, or items marked in `among`, bool [n]. Ties go by the digest of the item.
        """
        marked = np.asarray(scores > 0) if among is None else among
        return top(scores, self.allowed & marked, size, self.catalogue.marks()[: len(self.allowed)])


def reach(moment: Moment) -> Reach:
    """Every pair of the items that the user liked or met last. For `Moment.once`."""
    return moment.graph.reach(moment.known.items())


def trend(moment: Moment) -> NDArray[np.float64]:
    """Decayed likes in the scene, float64 [n]. For `Moment.once`."""
    return moment.graph.trend(moment.scene, moment.now_ms)[: len(moment.allowed)]


def top(score: NDArray[np.generic], among: Bools, most: int, marks: Digests) -> Ints:
    """The numbers of the `most` best scores among the marked ones, in no order. Ties go to the lower of `marks`.

    Marks are digests of the items. If ties went by number, a new item would come after every older one.
    """
    numbers = np.flatnonzero(among)
    if len(numbers) <= most:
        return numbers
    if most < 1:
        return numbers[:0]
    values = score[numbers].astype(np.float64)
    line = np.partition(values, len(values) - most)[len(values) - most]
    better, level = numbers[values > line], numbers[values == line]
    rest = most - len(better)
    return np.concatenate((better, level[np.argpartition(marks[level], rest - 1)[:rest]]))
