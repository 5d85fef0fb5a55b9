"""A trained model as a method of its own: the full catalogue by its scores, what the person has seen left out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.runner import Cursor, Moment, Scored
from schemas.events import Event

Floats = NDArray[np.float32]


class Readings(Protocol):
    """What a model said along one order of events, each time trained on nothing that came later.

    `tokens`: how many tokens a context had, on average.
    """

    @property
    def tokens(self) -> float: ...

    def scores(self, event_index: int) -> Floats | None:
        """float32 [items], as it was just before that event; None before the first training."""

    def unseen(self, event_index: int) -> NDArray[np.bool_]:
        """bool [items]: which were met in no event that the model of that time had learned from."""


class Retrieval:
    """`scores` gives float32 [items] for the step at hand, or None where there is no model yet: it lists nothing."""

    def __init__(self, name: str, scores: Callable[[], Floats | None], items: Sequence[str]) -> None:
        self._name = name
        self._scores = scores
        self._numbers = {item: number for number, item in enumerate(items)}
        self._met: dict[str, list[int]] = {}

    def rank(self, moment: Moment, k: int) -> Mapping[str, Scored]:
        scores = self._scores()
        if scores is None:
            return {}
        kept = scores.copy()
        hidden = moment.hidden
        met = self._met.get(moment.user, [])
        kept[met if hidden is None else [self._numbers[one] for one in hidden if one in self._numbers]] = -np.inf
        return {self._name: Scored(kept, self._numbers.get)}

    def learn(self, event: Event, liked: bool) -> None:
        number = None if event.item is None else self._numbers.get(event.item)
        if number is not None:
            self._met.setdefault(event.user, []).append(number)


def among_unseen(
    readings: Readings, events: Sequence[Event], tests: Sequence[int], items: Sequence[str]
) -> list[float]:
    """For each of `tests`, places of events on items that `readings` had not met by then: the share of the other such
    items new to the person that it puts below, a tie counting half. By chance 0.5; a test without others is left out.

    What is told of an item by nothing but its text: a model that knows of none of them cannot be above chance here, as
    it is among all items where it puts what few people like below what it does not know.
    """
    numbers = {item: number for number, item in enumerate(items)}
    met: dict[str, list[tuple[int, int]]] = {}
    for place, event in enumerate(events):
        if event.item in numbers:
            met.setdefault(event.user, []).append((place, numbers[event.item]))
    shares = []
    for place in tests:
        scores, others = readings.scores(place), readings.unseen(place).copy()
        own = numbers[events[place].item or ""]
        others[[number for earlier, number in met[events[place].user] if earlier < place] + [own]] = False
        if scores is not None and others.any():
            found = scores[others]
            shares.append(float(((found < scores[own]) + 0.5 * (found == scores[own])).mean()))
    return shares


def at(cursor: Cursor, learning: Readings, testing: Readings | None = None) -> Callable[[], Floats | None]:
    """The scores for the step at which `cursor` stands: in a test those of `testing`, if given, else of `learning`."""

    def scores() -> Floats | None:
        return (testing if testing is not None and cursor.test else learning).scores(cursor.at)

    return scores
