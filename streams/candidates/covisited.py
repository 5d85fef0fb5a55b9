"""Items that other users liked or met together with the items that this user liked or met."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.evidence import Evidence
from streams.candidates.moment import Floats, Ints, Moment, reach
from streams.candidates.source import Measured, Signal, Words
from streams.graph.item_graph import Reach
from streams.graph.pairs import KERNELS

MAX_BECAUSE = 2
FADING = 0.85
"""How much less a like counts than the next newer one."""

NEARLY = 0.6
"""A second item is named if it adds at least this share of what the first adds."""


@dataclass(frozen=True)
class Covisit:
    """How one co-visit signal sums over the user's past: the k-th last event counts `decay` to the power of k.

    `past` selects the evidence that is summed, `kernel` the weight; `after` sums only items that users met afterwards.
    """

    name: str
    prior: float
    past: str
    kernel: str
    decay: float
    after: bool = False


COVISITS = (
    Covisit("met_now", 0.25, "met", "met_near", 0.6),
    Covisit("met_lately", 0.25, "met", "met_wide", 0.75),
    Covisit("met_long", 0.2, "met", "met_wide", 0.9),
    Covisit("liked_lately", 0.15, "likes", "liked", 0.85),
    Covisit("liked_long", 0.25, "likes", "liked", 0.95),
    Covisit("liked_next", 0.05, "likes", "liked", 0.85, after=True),
)
OF_LIKES = tuple(of.name for of in COVISITS if of.past == "likes")
OF_MET = tuple(of.name for of in COVISITS if of.past == "met")

_KERNEL = {kernel.name: at for at, kernel in enumerate(KERNELS)}
_LIKED = [at for at, kernel in enumerate(KERNELS) if kernel.liked]
_MET = [at for at, kernel in enumerate(KERNELS) if not kernel.liked]


def covisit_scores(pairs: Reach, known: Evidence, count: int) -> Floats:
    """Each co-visit signal of every item: float32 [len(COVISITS), count]. `pairs` covers the liked and met items."""
    place = {number: at for at, number in enumerate(pairs.rows.tolist())}
    scores = np.zeros((len(COVISITS), count), np.float32)
    for past in ("likes", "met"):
        rows = [place[number] for number in getattr(known, past).tolist()]
        if not rows:
            continue
        # The pairs of these rows are adjacent if `pairs` was requested for them together; rows in between count 0.
        first, end = np.searchsorted(pairs.of, (min(rows), max(rows) + 1))
        these = slice(first, end)
        of, others = pairs.of[these], pairs.other[these]
        for at, signal in enumerate(COVISITS):
            if signal.past == past:
                decays = np.zeros(len(pairs.rows), np.float32)
                decays[rows] = signal.decay ** np.arange(len(rows))
                added = pairs.strength[these, _KERNEL[signal.kernel]] * decays[of]
                scores[at] = np.bincount(others, added * pairs.after[these] if signal.after else added, minlength=count)
    return scores


def covisits(moment: Moment) -> Floats:
    """Each co-visit signal of every item, float32 [len(COVISITS), n]. For `Moment.once`."""
    return covisit_scores(moment.once(reach), moment.known, len(moment.allowed))


def _measure(at: int) -> Callable[[Moment, Ints], Measured]:
    return lambda moment, numbers: moment.once(covisits)[at][numbers]


_SIGNALS = tuple(Signal(of.name, of.prior, _measure(at)) for at, of in enumerate(COVISITS))


@dataclass(frozen=True)
class Covisited:
    """The best by the sum of the co-visit signals, each as a share of its best."""

    name: str = "covisited"
    size: int = 250
    reads_model: bool = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        scores = moment.once(covisits)
        best = scores.max(axis=1, keepdims=True, initial=0.0)
        return moment.best((scores / np.where(best > 0, best, 1.0)).sum(axis=0), self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        """The likes that add most to the item's co-visits; or the met items, if likes add nothing to its score and less
        than those. A like is an event as well, so of the two it says more."""
        liked, met = sum(shares[name] for name in OF_LIKES), sum(shares[name] for name in OF_MET)
        either = (("liked_with", _LIKED, _fading_likes), ("met_with", _MET, _fading_met))
        for key, kernels, fading in either if liked > 0 or liked >= met else either[::-1]:
            strongest = _strongest(moment, number, kernels, moment.once(fading))
            because = [other for other in strongest if moment.catalogue.holds(other)]
            if because:
                titles = moment.language.join([moment.catalogue.at(other).title for other in because])
                return Words(moment.say(key, titles=titles), tuple(because))
        return Words(moment.say("met_lately")) if proposed else None


def _strongest(moment: Moment, number: int, kernels: list[int], fading: NDArray[np.float64]) -> list[int]:
    """The items of the user's past that add most to the item's co-visits, strongest first, at most MAX_BECAUSE.

    `fading`: how much each row of the user's reach counts.
    """
    of = moment.once(reach)
    pairs = np.flatnonzero(of.other == number)
    if not len(pairs):
        return []
    strength = of.strength[pairs][:, kernels].sum(axis=1)
    by_row = np.bincount(of.of[pairs], strength, minlength=len(of.rows)) * fading
    order = np.argsort(-by_row)[:MAX_BECAUSE]
    first = by_row[order[0]]
    return [int(of.rows[at]) for at in order if by_row[at] > 0 and by_row[at] >= NEARLY * first]


def _fading_likes(moment: Moment) -> NDArray[np.float64]:
    return _fading(moment.once(reach), moment.known.likes)


def _fading_met(moment: Moment) -> NDArray[np.float64]:
    return _fading(moment.once(reach), moment.known.met)


def _fading(of: Reach, past: Ints) -> NDArray[np.float64]:
    """How much each row counts by its place in the past, newest first; 0 for rows outside it."""
    fading = np.zeros(len(of.rows))
    place = {row: at for at, row in enumerate(of.rows.tolist())}
    for back, number in enumerate(past.tolist()):
        fading[place[number]] = FADING**back
    return fading
