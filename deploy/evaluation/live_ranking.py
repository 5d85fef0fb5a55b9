"""The ranking core without a broker, for evaluations on a stream of events.

It uses the same `Ranker`, contexts and item graph as a worker, with both roles of the graph in one object. It differs
in four points: no broker, no delay, exploration off, and the model is a function that returns its affinity with every
item, as a worker computes it from vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.runner import Moment, Pool
from schemas.events import Event
from schemas.items import Item
from streams.fold.context import EMPTY, Context, fold
from streams.fold.covisits import covisits, messages
from streams.graph.item_graph import Counting, ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.vectors import Affinities
from streams.ranking.blend import Blend, learn
from streams.ranking.exploration import NO_EXPLORATION
from streams.ranking.ranker import Ranker
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Prepared, Shortlist, best_first

Floats = NDArray[np.float32]

WITH, WITHOUT = "ouzel", "ouzel_without_model"
SETTINGS = Ranking(exploration=NO_EXPLORATION)
LEARN_FROM = 1_000
"""The blend learns from lists from this event on."""


@dataclass
class Core:
    """The ranking core as a method of the protocol: ranks before each like of a user, then learns from the like.

    `model(n)` returns the model's affinity of the user with every item, float32 [at most the catalogue] in the order
    of `items`, after `n` learned events; None while there is no model. With a model there is a second ranking, with
    candidates from the model and a separate blend, like a worker that requests only the context's vector
    (`rescored` = 0).
    """

    items: Sequence[Item]
    settings: Ranking = SETTINGS
    counting: Counting = field(default_factory=Counting)
    model: Callable[[int], Floats | None] | None = None
    catalogue: Catalogue = field(default_factory=Catalogue)
    contexts: dict[str, Context] = field(default_factory=dict)
    blends: dict[str, Blend] = field(default_factory=dict)
    events: int = 0

    def __post_init__(self) -> None:
        for item in self.items:
            self.catalogue.add(item)
        self.graph = ItemGraph(self.catalogue.index, self.counting)
        self.ranker = Ranker(self.catalogue, self.graph, self.settings)
        self.blends = {name: self.ranker.fit(Blend()) for name in ((WITHOUT, WITH) if self.model else (WITHOUT,))}
        self._made: tuple[Moment, dict[str, Shortlist]] | None = None

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str] | Pool]:
        """The lists without and, if there is one, with the model; each signal alone over the same candidates; and each
        list's candidates."""
        made = self._shortlists(moment)
        self._made = (moment, made)
        found: dict[str, Sequence[str] | Pool] = {}
        for name, chosen in made.items():
            best = self.ranker.arrange(chosen, self.blends[name], length=k)
            found[name] = self._ids(chosen.candidates.numbers[best.places])
            found[f"{name} candidates"] = Pool(frozenset(self._ids(chosen.candidates.numbers)))
        chosen = made.get(WITH, made[WITHOUT])
        for column, signal in enumerate(self.ranker.sources.columns.names):
            values = chosen.signals[:, column]
            order = best_first(values, chosen.marks)[:k] if values.any() else np.zeros(0, np.int64)
            found[f"signal:{signal}"] = self._ids(chosen.candidates.numbers[order])
        return found

    def learn(self, event: Event, liked: bool) -> None:
        """Update the blends from the user's list if this is a like, then the item graph and the user's context."""
        if liked and event.item is not None and self.events >= LEARN_FROM:
            moment = Moment(event.user, event.scene, event.ts)
            made = self._made[1] if self._made and self._made[0] == moment else self._shortlists(moment)
            for name, chosen in made.items():
                self.blends[name] = learn(self.blends[name], self.ranker.remember(chosen), event.item)
        self._made = None
        before = self.contexts.get(event.user, EMPTY)
        for told in messages(0, covisits(before, event, self.events, 0)):
            self.graph.learn(told)
        self.contexts[event.user] = fold(before, event, self.events)
        self.events += 1

    def _shortlists(self, moment: Moment) -> dict[str, Shortlist]:
        """The shortlist of each blend, by the blend's name."""
        context = self.contexts.get(moment.user, EMPTY)
        prepared = self.ranker.prepare(context, moment.scene, now_ms=moment.ts)
        plain = self.ranker.shortlist(prepared, self.blends[WITHOUT])
        made = {WITHOUT: plain}
        if self.model is not None:
            affinities, blend = self._affinities(prepared), self.blends[WITH]
            made[WITH] = (
                self.ranker.reorder(plain, blend)
                if affinities is None
                else self.ranker.shortlist(prepared, blend, affinities=affinities)
            )
        return made

    def _affinities(self, prepared: Prepared) -> Affinities | None:
        scores = None if self.model is None else self.model(self.events)
        if scores is None:
            return None
        every = np.zeros(len(prepared.moment.allowed), np.float32)  # events can name items outside the catalogue
        every[: len(scores)] = scores
        return Affinities(every, np.arange(len(every)) < len(scores))

    def _ids(self, numbers: NDArray[np.int64]) -> list[str]:
        return [self.catalogue.index[number] for number in numbers.tolist()]
