"""The path of one list, for live lists and for evaluation alike: prepare, shortlist, ask the model, assemble, remember.

Pure: no clock, no network. `prepare` does the work that is proportional to the catalogue; so does `hear`, for a model
that has vectors, with one product. The rest looks at the candidates only.
"""

from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.actions import strength
from schemas.recommendations import Entry, Source
from schemas.scoring import Past, ScoreRequest, Scores
from schemas.seen import PLAIN, SeenRule, SeenRules
from streams.candidates.evidence import Evidence, evidence
from streams.candidates.sources import Candidates, Sizes, gather, named, widen
from streams.fold.context import Context, SceneContext, lately
from streams.fold.marking import UNKEYED, Marking
from streams.graph.item_graph import ItemGraph, Reach
from streams.items.catalogue import Catalogue
from streams.items.vectors import Affinities
from streams.ranking.blend import Blend, Remembered, behavioural, weighed
from streams.ranking.diversity import diversify
from streams.ranking.reasons import LATELY, Due, reason
from streams.ranking.signals import covisit_scores, likeness, measure

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LACKING = 20
"""Candidates of a list, and things that the person did, that the model should have read: of each, at most."""


@dataclass(frozen=True)
class Ranking:
    """How lists are made.

    `length`: entries of a list. `rescored`: how many of the best candidates the model scores one by one; 0 asks for the
    context's vector only. `diversity`: the strength of MMR, in units of blended score. With probability `exploration`
    the last place goes to one of the next `explored` candidates, each as likely. The model reads the last `history`
    things that the person did, at most; where they begin moves on by `history_step` at a time, so that requests in
    between share their beginning. `seen` says what is off the lists of a scene because the person has seen it.
    """

    length: int = 10
    rescored: int = 8
    diversity: float = 0.3
    exploration: float = 0.02
    explored: int = 20
    history: int = 50
    history_step: int = 25
    seen: SeenRules = PLAIN
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True)
class Prepared:
    """What a person's lists are made from now, whatever the blend and the model. By item number, for those there were:

    `covisited`, float32 [len(COVISITS), n]; `alike`, float32 [n]; `trend`, float64 [n]; `allowed`, bool [n]: what may
    be shown to the person; `met`, bool [n]: what the person has met.
    """

    found: Candidates
    known: Evidence
    reach: Reach
    covisited: Floats
    alike: Floats
    trend: NDArray[np.float64]
    allowed: Bools
    met: Bools
    now_ms: int
    settings: Ranking


@dataclass(frozen=True)
class Shortlist:
    """The candidates of one person now, by number.

    `signals` is float32 [n, len(SIGNALS)]; `scores`, the score by them, float32 [n]; `order`, their places, best first;
    `marks`, their digests, uint64 [n]; `lately`, which are liked lately in the scene, and `met`, which the person has
    met, bool [n]. Where a model had its say: `logits`, its own score of each, NaN for those that
    it does not know; `model`, what its scores of the candidates that it was asked about add to that, standardized over
    those and 0 for the others. Both float32 [n], or None.
    """

    candidates: Candidates
    signals: Floats
    scores: Floats
    order: Ints
    known: Evidence
    reach: Reach
    marks: NDArray[np.uint64]
    lately: Bools
    met: Bools
    logits: Floats | None = None
    model: Floats | None = None

    def under(self, blend: Blend) -> "Shortlist":
        """The same candidates as another blend orders them."""
        scores = weighed(blend, self.signals)
        return replace(self, scores=scores, order=best_first(scores, self.marks))


def prepare(
    context: Context,
    scene: str,
    *,
    catalogue: Catalogue,
    graph: ItemGraph,
    now_ms: int,
    settings: Ranking,
    marking: Marking = UNKEYED,
) -> Prepared:
    """Read what is known for the person, whose seen items `marking` marks, and gather the candidates that need no
    model."""
    known = evidence(context, scene, catalogue)
    reach = graph.reach(known.items())
    covisited = covisit_scores(reach, known, len(catalogue.index))
    alike, trend = likeness(known, catalogue), graph.trend(scene, now_ms)
    allowed = catalogue.allowed(context, now_ms, settings.seen.of(scene), marking)
    met = np.zeros(len(allowed), np.bool_)
    met[catalogue.seen(context, now_ms, SeenRule(), marking)] = True
    for numbers in (known.met, known.likes, known.dislikes):
        met[numbers[numbers >= 0]] = True
    allowed[known.dislikes[known.dislikes >= 0]] = False
    found = gather(
        allowed,
        covisited=covisited,
        trend=trend,
        likes=graph.likes(),
        published=catalogue.published(),
        alike=alike,
        marks=catalogue.marks(),
        sizes=settings.sizes,
    )
    return Prepared(found, known, reach, covisited, alike, trend, allowed, met, now_ms, settings)


def shortlist(
    prepared: Prepared, blend: Blend, *, catalogue: Catalogue, graph: ItemGraph, affinities: Affinities | None = None
) -> Shortlist:
    """Rank the candidates; with a model's affinities, also those that it names, and by them.

    Empty only if nothing in the catalogue may be shown.
    """
    found = prepared.found
    if affinities is not None:
        found = widen(
            found, prepared.allowed, affinities, catalogue.marks()[: len(prepared.allowed)], prepared.settings.sizes
        )
    signals = measure(
        found.numbers,
        prepared.known,
        covisited=prepared.covisited,
        alike=prepared.alike,
        trend=prepared.trend,
        affinities=affinities,
        catalogue=catalogue,
        graph=graph,
        now_ms=prepared.now_ms,
    )
    scores, marks = weighed(blend, signals), catalogue.marks()[found.numbers]
    return Shortlist(
        candidates=found,
        signals=signals,
        scores=scores,
        order=best_first(scores, marks),
        known=prepared.known,
        reach=prepared.reach,
        marks=marks,
        lately=prepared.trend[found.numbers] >= LATELY,
        met=prepared.met[found.numbers],
        logits=None if affinities is None else affinities.of(found.numbers),
    )


def score_request(
    chosen: Shortlist, context: Context, scene: str, *, catalogue: Catalogue, session: int, settings: Ranking
) -> ScoreRequest:
    """What the model is asked: the best `rescored` candidates, given what the person did lately."""
    numbers = chosen.candidates.numbers[chosen.order[: settings.rescored]]
    return ScoreRequest(
        session=session,
        scene=scene,
        history=history(context, scene, catalogue=catalogue, settings=settings),
        candidates=tuple(catalogue.described(int(number)) for number in numbers),
        steer=tuple(steer.text for steer in context.steers),
    )


def lacking(
    chosen: Shortlist, context: Context, scene: str, *, catalogue: Catalogue, settings: Ranking
) -> tuple[int, ...]:
    """The numbers of the items that the model should have read for this list, most needed first: the candidates that it
    scores one by one, what the person did last, and the candidates after those. Items may be named twice."""
    numbers = chosen.candidates.numbers[chosen.order[:LACKING]].tolist()
    found = (catalogue.index.find(one.item) for one in reversed(lately(context, scene)[-LACKING:]))
    did = (number for number in found if number is not None)
    return (*numbers[: settings.rescored], *did, *numbers[settings.rescored :])


def history(context: Context, scene: str, *, catalogue: Catalogue, settings: Ranking) -> tuple[Past, ...]:
    """What the person did lately, of every kind, as the model reads it, oldest first.

    At most `settings.history` things, beginning at a multiple of `history_step` of all that were ever counted.
    """
    past = lately(context, scene)
    met = max(context.scenes.get(scene, SceneContext()).met, len(past))
    step = settings.history_step
    begin = max(0, -(-(met - settings.history) // step) * step)
    kept = past[max(0, len(past) - (met - begin)) :]
    return tuple(
        Past(
            catalogue.text(number),
            one.kind.value,
            item=one.item,
            about=catalogue.about(number),
            feeling=strength(one.kind, one.value),
            ts=one.ts,
        )
        for one in kept
        if (number := catalogue.index.find(one.item)) is not None and catalogue.holds(number)
    )


def hear(
    prepared: Prepared, asked: Shortlist, scores: Scores, blend: Blend, *, catalogue: Catalogue, graph: ItemGraph
) -> Shortlist:
    """The shortlist once the model has answered a `score_request` about `asked`.

    With the context's vector, and vectors of items of the same version, it is made anew with the model's affinities;
    the scores of those asked about then say what they add to the affinity. Where that spreads nothing, `model` is 0.
    """
    affinities = catalogue.vectors.affinity(scores.vector, scores.model_version, len(prepared.allowed))
    chosen = asked
    if affinities is not None:
        chosen = shortlist(prepared, blend, catalogue=catalogue, graph=graph, affinities=affinities)
    numbers = asked.candidates.numbers[asked.order[: len(scores.scores)]]
    if not len(numbers):
        return chosen
    places = np.searchsorted(chosen.candidates.numbers, numbers)
    own = np.array(scores.scores, np.float64)
    logits = np.full(len(chosen.order), np.nan, np.float32) if chosen.logits is None else chosen.logits.copy()
    added = own - (logits[places] if affinities is not None else 0.0)
    logits[places] = own
    return replace(chosen, logits=logits, model=_standard(added, places, len(chosen.order)))


def best_first(scores: NDArray[np.floating], marks: NDArray[np.uint64]) -> Ints:
    """The places of `scores` [n], the greatest first, ties by `marks` [n], which say nothing of when an item came."""
    return np.lexsort((marks, -scores))


def _standard(added: NDArray[np.float64], places: Ints, count: int) -> Floats:
    """Mean 0 and deviation 1 over the places, at most 4 either way; 0 for the other places, and where it is NaN."""
    model = np.zeros(count, np.float32)
    said = ~np.isnan(added)
    spread = added[said].std() if said.any() else 0.0
    if spread > 0:
        model[places[said]] = ((added[said] - added[said].mean()) / spread).clip(-4.0, 4.0)
    return model


def assemble(
    chosen: Shortlist,
    *,
    scene: str,
    catalogue: Catalogue,
    blend: Blend,
    settings: Ranking,
    rng: Random,
) -> tuple[Entry, ...]:
    """The list: blended, diversified, explored with its exact propensities, each entry with its reason.

    Candidates withdrawn since the shortlist was made are left out.
    """
    places, values, others, blended = arrange(chosen, catalogue=catalogue, blend=blend, settings=settings)
    propensity = np.ones(len(places))
    explored = -1
    if len(places) and len(others) and settings.exploration > 0:
        propensity[-1] = 1.0 - settings.exploration
        if rng.random() < settings.exploration:
            explored = places[-1] = rng.choice(others.tolist())
            values[-1] = min(values[-1], blended[explored])
            propensity[-1] = settings.exploration / len(others)
    plain = behavioural(blend, chosen.signals)
    due = Due(chosen.reach.about(chosen.candidates.numbers[places]), chosen.known)
    entries = []
    for at, value, chance in zip(places.tolist(), values.tolist(), propensity.tolist(), strict=True):
        number = int(chosen.candidates.numbers[at])
        sources = named(int(chosen.candidates.sources[at]))
        why = reason(
            number,
            sources,
            due=due,
            known=chosen.known,
            scene=scene,
            catalogue=catalogue,
            lately=bool(chosen.lately[at]),
            mine=bool(chosen.met[at]),
        )
        entries.append(
            Entry(
                item=catalogue.index[number],
                score=value,
                behavioural=float(plain[at]),
                model=None if chosen.logits is None or np.isnan(chosen.logits[at]) else float(chosen.logits[at]),
                propensity=chance,
                sources=tuple(dict.fromkeys((*sources, Source.EXPLORED))) if at == explored else sources,
                reason=why,
            )
        )
    return tuple(entries)


class Arranged(NamedTuple):
    """A list without exploration.

    `places` in the shortlist, best first; `values`, the score of each when it was chosen, never rising; `others`, the
    places of the next candidates, which may be explored; `blended`, the score of every candidate before diversity.
    """

    places: Ints
    values: Floats
    others: Ints
    blended: Floats


def arrange(chosen: Shortlist, *, catalogue: Catalogue, blend: Blend, settings: Ranking) -> Arranged:
    """Blend and diversify. What is withdrawn by now is left out."""
    blended = chosen.scores if chosen.model is None else chosen.scores + np.float32(blend.model_weight) * chosen.model
    numbers = chosen.candidates.numbers
    held = (at for at in best_first(blended, chosen.marks).tolist() if catalogue.holds(int(numbers[at])))
    pool = np.array(list(islice(held, settings.length + max(settings.explored, settings.length))), np.int64)
    vectors = catalogue.likeness.vectors()[numbers[pool]]
    picked, values = diversify(blended[pool], vectors, settings.length, settings.diversity)
    left = np.ones(len(pool), np.bool_)
    left[picked] = False
    return Arranged(pool[picked], values, pool[left][: settings.explored], blended)


def remember(chosen: Shortlist) -> Remembered:
    """What of this list `streams.ranking.blend.learn` needs later."""
    model = None if chosen.model is None else chosen.model.astype(np.float16)
    return Remembered(chosen.marks, chosen.signals.astype(np.float16), model)


def popular(
    context: Context,
    *,
    catalogue: Catalogue,
    graph: ItemGraph,
    count: int,
    now_ms: int,
    rule: SeenRule,
    marking: Marking = UNKEYED,
) -> tuple[str, ...]:
    """The most liked items that may be shown to the person now: what a list has to beat."""
    allowed = np.flatnonzero(catalogue.allowed(context, now_ms, rule, marking))
    order = best_first(graph.likes()[allowed], catalogue.marks()[allowed])[:count]
    return tuple(catalogue.index[int(number)] for number in allowed[order])
