"""The path of one list, for live lists and for evaluation alike: shortlist, ask the model, assemble, remember.

Pure: no clock, no network. `shortlist` does the work that is proportional to the catalogue; the rest looks at the
candidates only.
"""

from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.recommendations import Entry, Source
from schemas.scoring import Candidate, Past, ScoreRequest, Scores
from streams.blend import Blend, Remembered, behavioural
from streams.candidates import Candidates, Sizes, gather, named
from streams.catalogue import Catalogue
from streams.context import Context, SceneContext, likes
from streams.diversity import diversify
from streams.graph import ItemGraph, Reach
from streams.interests import Evidence, evidence
from streams.reasons import reason
from streams.signals import covisit_scores, likeness, measure

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MAX_TIME = 2**53


@dataclass(frozen=True)
class Ranking:
    """How lists are made.

    `length`: entries of a list. `rescored`: how many of the best candidates the model is asked about. `diversity`: the
    strength of MMR, in units of blended score. With probability `exploration` the last place goes to one of the next
    `explored` candidates, each as likely. The model reads the person's last `history` likes at most; where they begin
    moves on by `history_step` likes at a time, so that requests in between share their beginning.
    """

    length: int = 10
    rescored: int = 8
    diversity: float = 0.3
    exploration: float = 0.02
    explored: int = 20
    history: int = 20
    history_step: int = 8
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True)
class Shortlist:
    """The candidates of one person now.

    `signals` is float32 [n, len(SIGNALS)]; `scores`, the behavioural score, float32 [n]; `order`, their places, best
    first; `marks`, their digests, uint64 [n].
    """

    candidates: Candidates
    signals: Floats
    scores: Floats
    order: Ints
    known: Evidence
    reach: Reach
    marks: NDArray[np.uint64]
    settings: Ranking

    def under(self, blend: Blend) -> "Shortlist":
        """The same candidates as another blend orders them."""
        scores = behavioural(blend, self.signals)
        return replace(self, scores=scores, order=np.argsort(-scores, kind="stable"))


def shortlist(
    context: Context,
    scene: str,
    *,
    catalogue: Catalogue,
    graph: ItemGraph,
    blend: Blend,
    now_ms: int,
    settings: Ranking,
) -> Shortlist:
    """Gather and rank what may be shown to the person. Empty only if nothing in the catalogue may be."""
    known = evidence(context, scene, catalogue)
    reach = graph.reach(np.unique(np.concatenate((known.likes, known.met))))
    covisited = covisit_scores(reach, known, len(catalogue.index))
    alike = likeness(known, catalogue)
    found = gather(
        known,
        catalogue.allowed(context, now_ms),
        covisited=covisited,
        trend=graph.trend(scene, now_ms),
        likes=graph.likes(),
        published=catalogue.published(),
        alike=alike,
        sizes=settings.sizes,
    )
    signals = measure(found.numbers, covisited, alike, known, scene, catalogue=catalogue, graph=graph, now_ms=now_ms)
    scores = behavioural(blend, signals)
    return Shortlist(
        candidates=found,
        signals=signals,
        scores=scores,
        order=np.argsort(-scores, kind="stable"),
        known=known,
        reach=reach,
        marks=catalogue.marks(found.numbers),
        settings=settings,
    )


def score_request(
    chosen: Shortlist, context: Context, scene: str, *, catalogue: Catalogue, session: int
) -> ScoreRequest:
    """What the model is asked: the best `rescored` candidates, given the person's last likes."""
    numbers = chosen.candidates.numbers[chosen.order[: chosen.settings.rescored]]
    return ScoreRequest(
        session=session,
        scene=scene,
        history=history(context, scene, catalogue=catalogue, settings=chosen.settings),
        candidates=tuple(Candidate(catalogue.text(int(number))) for number in numbers),
        steer=tuple(steer.text for steer in context.steers),
    )


def history(context: Context, scene: str, *, catalogue: Catalogue, settings: Ranking) -> tuple[Past, ...]:
    """The person's last likes as the model reads them, oldest first.

    At most `settings.history` of them, beginning at a multiple of `history_step` of all likes ever counted.
    """
    past = likes(context, scene)
    liked = max(context.scenes.get(scene, SceneContext()).liked, len(past))
    step = settings.history_step
    begin = max(0, -(-(liked - settings.history) // step) * step)
    kept = past[max(0, len(past) - (liked - begin)) :]
    return tuple(
        Past(catalogue.text(number), one.kind.value)
        for one in kept
        if (number := catalogue.index.find(one.item)) is not None and catalogue.get(one.item) is not None
    )


def assemble(
    chosen: Shortlist,
    scores: Scores | None,
    *,
    context: Context,
    scene: str,
    catalogue: Catalogue,
    graph: ItemGraph,
    blend: Blend,
    settings: Ranking,
    rng: Random,
) -> tuple[Entry, ...]:
    """The list: blended, diversified, explored with its exact propensities, each entry with its reason.

    Candidates withdrawn since the shortlist was made are left out.
    """
    raw = model_scores(chosen, scores)
    places, values, others, blended = arrange(chosen, scores, catalogue=catalogue, blend=blend, settings=settings)
    propensity = np.ones(len(places))
    explored = -1
    if len(places) and len(others) and settings.exploration > 0:
        propensity[-1] = 1.0 - settings.exploration
        if rng.random() < settings.exploration:
            explored = places[-1] = rng.choice(others.tolist())
            values[-1] = min(values[-1], blended[explored])
            propensity[-1] = settings.exploration / len(others)
    reach = chosen.reach.about(chosen.candidates.numbers[places])
    entries = []
    for at, value, chance in zip(places.tolist(), values.tolist(), propensity.tolist(), strict=True):
        number = int(chosen.candidates.numbers[at])
        sources = named(int(chosen.candidates.sources[at]))
        why = reason(number, sources, reach=reach, known=chosen.known, scene=scene, catalogue=catalogue)
        entries.append(
            Entry(
                item=catalogue.index[number],
                score=value,
                behavioural=float(chosen.scores[at]),
                model=raw.get(at),
                propensity=chance,
                sources=(*sources, Source.EXPLORED) if at == explored else sources,
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


def arrange(
    chosen: Shortlist, scores: Scores | None, *, catalogue: Catalogue, blend: Blend, settings: Ranking
) -> Arranged:
    """Blend and diversify. What is withdrawn by now is left out."""
    model = standard_scores(chosen, scores)
    blended = chosen.scores if model is None else chosen.scores + np.float32(blend.model_weight) * model
    numbers = chosen.candidates.numbers
    held = (at for at in np.argsort(-blended, kind="stable").tolist() if catalogue.holds(int(numbers[at])))
    pool = np.array(list(islice(held, settings.length + max(settings.explored, settings.length))), np.int64)
    vectors = catalogue.likeness.vectors()[numbers[pool]]
    picked, values = diversify(blended[pool], vectors, settings.length, settings.diversity)
    left = np.ones(len(pool), np.bool_)
    left[picked] = False
    return Arranged(pool[picked], values, pool[left][: settings.explored], blended)


def model_scores(chosen: Shortlist, scores: Scores | None) -> dict[int, float]:
    """The model's own score by place in the shortlist, for those it was asked about."""
    return {} if scores is None else dict(zip(chosen.order.tolist(), scores.scores, strict=False))


def standard_scores(chosen: Shortlist, scores: Scores | None) -> Floats | None:
    """The model's scores with mean 0 and deviation 1 over those it was asked about, 0 for the others; None without."""
    if scores is None or not scores.scores:
        return None
    values = np.array(scores.scores, np.float64)
    spread = values.std()
    model = np.zeros(len(chosen.order), np.float32)
    if spread > 0:
        model[chosen.order[: len(values)]] = ((values - values.mean()) / spread).clip(-4.0, 4.0)
    return model


def remember(chosen: Shortlist, scores: Scores | None) -> Remembered:
    """What of this list `streams.blend.learn` needs later."""
    model = standard_scores(chosen, scores)
    return Remembered(
        chosen.marks, chosen.signals.astype(np.float16), None if model is None else model.astype(np.float16)
    )


def popular(context: Context, *, catalogue: Catalogue, graph: ItemGraph, count: int) -> tuple[str, ...]:
    """The most liked items that the person has not seen: what a list has to beat."""
    allowed = np.flatnonzero(catalogue.allowed(context, MAX_TIME))
    order = np.argsort(-graph.likes()[allowed], kind="stable")[:count]
    return tuple(catalogue.index[int(number)] for number in allowed[order])
