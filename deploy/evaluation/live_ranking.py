"""The ranking core without a broker: what an evaluation runs on a stream of events.

The ranking is the live one: the same context, item graph, candidates, signals, blend and order as in a worker, with
both roles of the graph in one object. What differs is stated: no broker, no delay, exploration off; and the model is a
function that tells its affinity with every item, as a worker computes it from vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from streams.ranking.pipeline import Prepared, Ranking, Shortlist, arrange, best_first, prepare, remember, shortlist
from streams.ranking.signals import SIGNALS

Floats = NDArray[np.float32]

WITH, WITHOUT = "ouzel", "ouzel_without_model"
SETTINGS = Ranking(exploration=0.0)
LEARN_FROM = 1_000
"""Lists are made, and the blend learns, from this event on."""


@dataclass
class Core:
    """The ranking core as a method of the protocol: a person's list before each of their likes, then learning from it.

    `model(n)` gives the model's affinity of the person with every item, float32 [at most the catalogue] in the order of
    `items`, as it was when `n` events had been learned; None while there is no model. Then there is a second ranking
    beside the one without: it has candidates from the model and a blend of its own, as a worker that asks for the
    context's vector only (`rescored` = 0).
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
        self.blends = {name: Blend() for name in ((WITHOUT, WITH) if self.model else (WITHOUT,))}
        self._made: tuple[Moment, dict[str, Shortlist]] | None = None

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str] | Pool]:
        """The list without the model and, if there is one, with it; each signal alone over the same candidates; and the
        candidates themselves, under the names of the lists."""
        made = self._shortlists(moment)
        self._made = (moment, made)
        found: dict[str, Sequence[str] | Pool] = {}
        for name, chosen in made.items():
            settings = replace(self.settings, length=k)
            best = arrange(chosen, catalogue=self.catalogue, blend=self.blends[name], settings=settings)
            found[name] = self._ids(chosen.candidates.numbers[best.places])
            found[f"{name} candidates"] = Pool(frozenset(self._ids(chosen.candidates.numbers)))
        chosen = made.get(WITH, made[WITHOUT])
        for column, signal in enumerate(SIGNALS):
            values = chosen.signals[:, column]
            order = best_first(values, chosen.marks)[:k] if values.any() else np.zeros(0, np.int64)
            found[f"signal:{signal}"] = self._ids(chosen.candidates.numbers[order])
        return found

    def learn(self, event: Event, liked: bool) -> None:
        """Learn the blends from the person's list if this is a like, count the item graph, and fold the context."""
        if liked and event.item is not None and self.events >= LEARN_FROM:
            moment = Moment(event.user, event.scene, event.ts)
            made = self._made[1] if self._made and self._made[0] == moment else self._shortlists(moment)
            for name, chosen in made.items():
                self.blends[name] = learn(self.blends[name], remember(chosen), event.item)
        self._made = None
        before = self.contexts.get(event.user, EMPTY)
        for told in messages(0, covisits(before, event, self.events, 0)):
            self.graph.learn(told)
        self.contexts[event.user] = fold(before, event, self.events)
        self.events += 1

    def _shortlists(self, moment: Moment) -> dict[str, Shortlist]:
        """The candidates in each blend's order, by the blend's name."""
        prepared = prepare(
            self.contexts.get(moment.user, EMPTY),
            moment.scene,
            catalogue=self.catalogue,
            graph=self.graph,
            now_ms=moment.ts,
            settings=self.settings,
        )
        plain = shortlist(prepared, self.blends[WITHOUT], catalogue=self.catalogue, graph=self.graph)
        made = {WITHOUT: plain}
        if self.model is not None:
            affinities = self._affinities(prepared)
            made[WITH] = (
                plain.under(self.blends[WITH])
                if affinities is None
                else shortlist(
                    prepared, self.blends[WITH], catalogue=self.catalogue, graph=self.graph, affinities=affinities
                )
            )
        return made

    def _affinities(self, prepared: Prepared) -> Affinities | None:
        scores = None if self.model is None else self.model(self.events)
        if scores is None:
            return None
        every = np.zeros(len(prepared.allowed), np.float32)  # events can name items that the catalogue has not
        every[: len(scores)] = scores
        return Affinities(every, np.arange(len(every)) < len(scores))

    def _ids(self, numbers: NDArray[np.int64]) -> list[str]:
        return [self.catalogue.index[number] for number in numbers.tolist()]
