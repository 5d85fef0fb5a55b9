"""A trained model as an evaluated method: it ranks the full catalogue without the items that the user has seen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.runner import Cursor, Moment, Scored
from schemas.events import Event

Floats = NDArray[np.float32]


class Readings(Protocol):
    """A model's scores along one order of events, each from a model trained only on earlier events.

    `tokens` is the mean number of tokens of a context.
    """

    @property
    def tokens(self) -> float: ...

    def scores(self, event_index: int) -> Floats | None:
        """float32 [items], the scores just before that event; None before the first training."""

    def unseen(self, event_index: int) -> NDArray[np.bool_]:
        """bool [items]: items without events in the training data of the model of that time."""


class Retrieval:
    """`scores` returns float32 [items] for the current step, or None before the first model: nothing is listed then."""

    def __init__(self, name: str, scores: Callable[[], Floats | None], items: Sequence[str]) -> None:
        self._name = name
        self._scores = scores
        self._items = items
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
        return {self._name: Scored(kept, self._numbers.get, self._items)}

    def learn(self, event: Event, liked: bool) -> None:
        number = None if event.item is None else self._numbers.get(event.item)
        if number is not None:
            self._met.setdefault(event.user, []).append(number)


def among_unseen(
    readings: Readings, events: Sequence[Event], tests: Sequence[int], items: Sequence[str]
) -> list[float]:
    """For each of `tests`, indices of events on items unseen in training: the share of the other unseen items, new to
    the user, that the model ranks below. Ties count half; chance is 0.5; tests without other unseen items are left out.

    This measures what the model knows from item text alone. Among all items, a model could be above chance just by
    ranking unpopular items below unseen ones; among unseen items it cannot.
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
    """The scores for the step at `cursor`: in a test those of `testing`, if given, else those of `learning`."""

    def scores() -> Floats | None:
        return (testing if testing is not None and cursor.test else learning).scores(cursor.at)

    return scores
