"""The path of one list, for live lists, evaluation and benchmarks alike. Pure: no clock, no network, no state.

    prepared = ranker.prepare(context, scene, now_ms=now_ms)          evidence, and candidates without the model
    chosen = ranker.shortlist(prepared, blend)                        measured and ordered
    chosen = ranker.rescore(chosen, scores, blend)                    once the model has answered `ranker.question`
    entries = ranker.assemble(chosen, blend, Noise(id))               blended, diversified, explored, with reasons

`prepare` looks at each item of the catalogue, and so does `rescore` if the model gives vectors. The rest looks only at
the candidates.
"""

from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.recommendations import Entry, Reason, Source
from schemas.scoring import ScoreRequest, Scores
from schemas.seen import SeenRule
from streams.candidates.evidence import evidence
from streams.candidates.moment import Floats, Ints, Moment
from streams.candidates.registry import Candidates
from streams.candidates.restriction import FREE, Restriction
from streams.candidates.wished import STRENGTH, WISH
from streams.fold.context import Context
from streams.fold.marking import UNKEYED, Marking
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.vectors import Affinities, Vectors
from streams.ranking.blend import Blend, Remembered, behavioural, fitted, weighed
from streams.ranking.comparison import Compared, item_knn, popular
from streams.ranking.contributions import contributions, reason
from streams.ranking.diversity import Marginals, diversify
from streams.ranking.drawing import Drawing, Drawn, Noise, draw
from streams.ranking.modifiers import modifiers
from streams.ranking.question import lacking, score_request
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Prepared, Shortlist, best_first
from streams.ranking.standardization import standardize
from streams.steering.strength import strength
from streams.steering.wish import Wish

SOME_LIKES = 3
"""Of users with fewer likes, wishes say most: they count in full."""


class Arranged(NamedTuple):
    """A list without exploration: `places` in the shortlist, best first, and the score of every candidate before
    diversity (`blended`)."""

    places: Ints
    blended: Floats


class Ranker:
    """Makes lists from a catalogue and an item graph, which it only reads, with one set of settings."""

    def __init__(self, catalogue: Catalogue, graph: ItemGraph, settings: Ranking | None = None) -> None:
        self.catalogue = catalogue
        self.graph = graph
        self.settings = Ranking() if settings is None else settings
        self.sources = self.settings.sources

    def prepare(
        self,
        context: Context,
        scene: str,
        *,
        now_ms: int,
        marking: Marking = UNKEYED,
        wishes: tuple[Wish, ...] = (),
        restriction: Restriction = FREE,
    ) -> Prepared:
        """Read the user's evidence, with seen items marked by `marking`, and gather candidates without the model, among
        those that the `restriction` allows. `wishes` are what the user's sentences ask for."""
        moment, met = self._read(context, scene, now_ms=now_ms, marking=marking, wishes=wishes, restriction=restriction)
        return Prepared(moment, self.sources.propose(moment, least=self.settings.length), met)

    def among(
        self,
        numbers: Ints,
        context: Context,
        scene: str,
        blend: Blend,
        *,
        now_ms: int,
        marking: Marking = UNKEYED,
        wishes: tuple[Wish, ...] = (),
    ) -> Shortlist:
        """The given items, ascending by number, measured and ordered for a user without the model. None is left out;
        `prepared.met` says which the user has met."""
        moment, met = self._read(context, scene, now_ms=now_ms, marking=marking, wishes=wishes)
        found = Candidates(numbers, np.zeros(len(numbers), np.uint32))
        return self.shortlist(Prepared(moment, found, met), blend)

    def _read(
        self,
        context: Context,
        scene: str,
        *,
        now_ms: int,
        marking: Marking,
        wishes: tuple[Wish, ...],
        restriction: Restriction = FREE,
    ) -> tuple[Moment, NDArray[np.bool_]]:
        """The input of the sources, and bool [n] by item number: which items the user has met."""
        known = evidence(context, scene, self.catalogue)
        allowed = self.catalogue.allowed(context, now_ms, self.settings.seen.of(scene), marking)
        met = np.zeros(len(allowed), np.bool_)
        met[self.catalogue.seen(context, now_ms, SeenRule(), marking)] = True
        for numbers in (known.met, known.likes, known.dislikes):
            met[numbers[numbers >= 0]] = True
        allowed[known.dislikes[known.dislikes >= 0]] = False
        if restriction is not FREE:
            allowed &= restriction.allowed(self.catalogue)
        allowed.flags.writeable = False
        moment = Moment(
            context, scene, now_ms, known, allowed, self.catalogue, self.graph, wishes, self.settings.language
        )
        return moment, met

    def shortlist(self, prepared: Prepared, blend: Blend, *, affinities: Affinities | None = None) -> Shortlist:
        """Rank the candidates; with a model's affinities, also those that it proposes, and with the affinities as a
        signal.

        Empty only if nothing in the catalogue may be shown.
        """
        moment, found = prepared.moment, prepared.found
        if affinities is not None:
            moment = replace(moment, affinities=affinities)
            found = self.sources.widen(found, moment)
        signals = standardize(self.sources.measure(moment, found.numbers), self.sources.columns.fixed)
        return self._ordered(prepared, moment, found, signals, blend)

    def reorder(self, chosen: Shortlist, blend: Blend) -> Shortlist:
        """The same candidates in the order of another blend."""
        scores = weighed(blend, chosen.signals, chosen.modifiers, self.sources.columns)
        return replace(chosen, scores=scores, order=best_first(scores, chosen.marks))

    def question(self, chosen: Shortlist, *, session: int) -> ScoreRequest:
        """The request to the model about a shortlist; `session` is the user's session number."""
        return score_request(chosen, session=session, settings=self.settings)

    def lacking(self, chosen: Shortlist) -> tuple[int, ...]:
        """The numbers of the items that the model should have read for this list, most needed first."""
        return lacking(chosen, self.settings)

    def rescore(self, asked: Shortlist, scores: Scores, blend: Blend, vectors: Vectors | None = None) -> Shortlist:
        """The shortlist once the model has answered a `question` about `asked`.

        If there is a context vector, and item vectors of the same version (`vectors` or the catalogue's), candidates
        are measured again with the model's affinities; the scores of those asked about then count by what they add to
        the affinity. Without spread in that, `model` is 0. `logits` is None if the model could not score anything.
        """
        prepared = asked.prepared
        affinities = self.catalogue.affinity(scores.vector, scores.model_version, len(prepared.moment.allowed), vectors)
        chosen = asked if affinities is None else self.shortlist(prepared, blend, affinities=affinities)
        return _scored(chosen, asked.candidates.numbers[asked.order[: len(scores.scores)]], scores)

    def revise(
        self,
        chosen: Shortlist,
        context: Context,
        blend: Blend,
        *,
        scores: Scores | None = None,
        asked: Ints | None = None,
        vectors: Vectors | None = None,
    ) -> Shortlist:
        """The candidates of `chosen`, no others, measured and ordered for another context of its user.

        `scores` are the model's with that context, of the items with the numbers `asked`; without them the shortlist is
        one without the model.
        """
        before = chosen.moment
        known = evidence(context, before.scene, self.catalogue)
        affinities = None
        if scores is not None:
            affinities = self.catalogue.affinity(scores.vector, scores.model_version, len(before.allowed), vectors)
        moment = replace(before, context=context, known=known, affinities=affinities, _made={})
        signals = standardize(self.sources.measure(moment, chosen.candidates.numbers), self.sources.columns.fixed)
        revised = self._ordered(chosen.prepared, moment, chosen.candidates, signals, blend)
        return revised if scores is None or asked is None else _scored(revised, asked, scores)

    def blended(self, chosen: Shortlist, blend: Blend) -> Floats:
        """The score of each candidate before diversity, float32 [n]."""
        return chosen.scores if chosen.model is None else chosen.scores + np.float32(blend.model_weight) * chosen.model

    def arrange(self, chosen: Shortlist, blend: Blend, *, length: int | None = None) -> Arranged:
        """Blend and diversify. Items withdrawn since the shortlist was made are left out."""
        length = self.settings.length if length is None else length
        blended = self.blended(chosen, blend)
        pool = self._pool(chosen, blended, length)
        picked, _ = diversify(blended[pool], self._vectors(chosen, pool), length, self.settings.diversity)
        return Arranged(pool[picked], blended)

    def drawing(self, chosen: Shortlist, blend: Blend) -> tuple[Ints, Drawing]:
        """The probabilities of all lists that could be drawn. The drawing's candidates are these places in the
        shortlist: the pool, then the new items outside it that the user has not met."""
        settings, exploration = self.settings, self.settings.exploration.of(chosen.moment.scene)
        blended, numbers = self.blended(chosen, blend), chosen.candidates.numbers
        pool = self._pool(chosen, blended, settings.length)
        is_new = (chosen.candidates.sources & self.sources.bits[Source.NEW] > 0) & ~chosen.prepared.met[numbers]
        if exploration.new_share <= 0:
            is_new[:] = False
        beside = is_new.copy()
        beside[pool] = False
        others = [at for at in np.flatnonzero(beside).tolist() if self.catalogue.holds(int(numbers[at]))]
        places = np.concatenate((pool, np.array(others, np.int64)))
        drawing = Drawing(
            Marginals(blended[places], self._vectors(chosen, places), settings.diversity),
            usual=np.arange(len(places)) < len(pool),
            new=is_new[places],
            length=settings.length,
            exploration=exploration,
        )
        return places, drawing

    def drawn(self, chosen: Shortlist, blend: Blend, noise: Noise) -> tuple[Ints, Drawn]:
        """A list, by its places in the shortlist, and how it was drawn."""
        places, drawing = self.drawing(chosen, blend)
        drawn = draw(drawing, noise, self.settings.exploration.of(chosen.moment.scene))
        return places[drawn.chosen], drawn

    def assemble(self, chosen: Shortlist, blend: Blend, noise: Noise) -> tuple[Entry, ...]:
        """The list: blended, diversified, explored with its exact propensities, each entry with its reason.

        Items withdrawn since the shortlist was made are left out. The same noise draws the same list.
        """
        places, drawn = self.drawn(chosen, blend, noise)
        plain = behavioural(blend, chosen.signals, chosen.modifiers, self.sources.columns)
        found = contributions(chosen, places, blend=blend, sources=self.sources)
        entries = []
        for row, at in enumerate(places.tolist()):
            sources = self.sources.named(int(chosen.candidates.sources[at]))
            total = found.by_source(row)
            entries.append(
                Entry(
                    item=self.catalogue.index[int(chosen.candidates.numbers[at])],
                    score=float(drawn.values[row]),
                    behavioural=float(plain[at]),
                    model=None if chosen.logits is None or np.isnan(chosen.logits[at]) else float(chosen.logits[at]),
                    propensity=float(drawn.propensities[row]),
                    sources=tuple(dict.fromkeys((*sources, Source.EXPLORED))) if drawn.explored[row] else sources,
                    contributions=total,
                    reason=(
                        Reason(code=Source.NEW, text=chosen.moment.say("new"))
                        if drawn.new[row]
                        else reason(chosen, at, row, found, total)
                    ),
                )
            )
        return tuple(entries)

    def remember(self, chosen: Shortlist) -> Remembered:
        """The data of this list that `streams.ranking.blend.learn` needs later."""
        model = None if chosen.model is None else chosen.model.astype(np.float16)
        signals, modified = chosen.signals.astype(np.float16), chosen.modifiers.astype(np.float16)
        return Remembered(chosen.marks, signals, modified, model, self.sources.columns)

    def fit(self, blend: Blend) -> Blend:
        """A stored blend with weights for each signal of this ranker; the same object if it has them."""
        return fitted(blend, self.sources.columns)

    def compare(self, plain: Shortlist, chosen: Shortlist, blend: Blend, *, count: int) -> Compared:
        """The first `count` items of the rankings that are compared. `plain`: the shortlist before the model answered,
        `chosen`: afterwards."""
        without_model = self.leading(plain, blend, count)
        listed = without_model if chosen is plain else self.leading(chosen, blend, count)
        moment = plain.moment
        return Compared(listed, without_model, popular(moment, count), item_knn(moment, count))

    def leading(self, chosen: Shortlist, blend: Blend, count: int) -> tuple[str, ...]:
        """The first `count` items of a list without exploration."""
        numbers = chosen.candidates.numbers[self.arrange(chosen, blend).places[:count]]
        return tuple(self.catalogue.index[number] for number in numbers.tolist())

    def _pool(self, chosen: Shortlist, blended: Floats, length: int) -> Ints:
        """The places of the candidates that can be on a list by their scores, best first, without withdrawn items."""
        numbers = chosen.candidates.numbers
        held = (at for at in best_first(blended, chosen.marks).tolist() if self.catalogue.holds(int(numbers[at])))
        return np.array(list(islice(held, length + max(self.settings.explored, length))), np.int64)

    def _vectors(self, chosen: Shortlist, places: Ints) -> Floats:
        """The text vectors of candidates, for diversity."""
        return self.catalogue.likeness.vectors()[chosen.candidates.numbers[places]]

    def _ordered(
        self, prepared: Prepared, moment: Moment, found: Candidates, signals: Floats, blend: Blend
    ) -> Shortlist:
        modified, marks = modifiers(moment, found.numbers), self.catalogue.marks()[found.numbers]
        scores = weighed(blend, signals, modified, self.sources.columns)
        if moment.wishes and len(moment.known.likes) >= SOME_LIKES:
            column = self.sources.columns.names.index(WISH)
            wish = np.float32(STRENGTH) * signals[:, column]
            signals[:, column] *= strength(scores - wish, wish, self.settings.length)
            scores = weighed(blend, signals, modified, self.sources.columns)
        return Shortlist(
            prepared=prepared,
            moment=moment,
            candidates=found,
            signals=signals,
            modifiers=modified,
            scores=scores,
            order=best_first(scores, marks),
            marks=marks,
            logits=None if moment.affinities is None else moment.affinities.of(found.numbers),
        )


def _scored(chosen: Shortlist, asked: Ints, scores: Scores) -> Shortlist:
    """The shortlist with the model's scores of the items with the numbers `asked`, which are among the candidates."""
    if not len(asked):
        return chosen
    places = np.searchsorted(chosen.candidates.numbers, asked)
    own = np.array(scores.scores, np.float64)
    logits = np.full(len(chosen.order), np.nan, np.float32) if chosen.logits is None else chosen.logits.copy()
    added = own if chosen.logits is None else own - logits[places]
    logits[places] = own
    return replace(chosen, logits=logits, model=_standard(added, places, len(chosen.order)))


def _standard(added: NDArray[np.float64], places: Ints, count: int) -> Floats:
    """Mean 0 and deviation 1 over the places, at most 4 either way; 0 for the other places, and for NaN."""
    model = np.zeros(count, np.float32)
    said = ~np.isnan(added)
    spread = added[said].std() if said.any() else 0.0
    if spread > 0:
        model[places[said]] = ((added[said] - added[said].mean()) / spread).clip(-4.0, 4.0)
    return model
