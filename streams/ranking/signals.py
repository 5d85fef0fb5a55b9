"""The named signals by which candidates are compared, standardized within one candidate set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.evidence import Evidence, interests
from streams.graph.item_graph import ItemGraph, Reach
from streams.graph.pairs import KERNELS
from streams.items.catalogue import Catalogue
from streams.items.vectors import Affinities

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

CLIP = 8.0
"""A signal counts at most this many standard deviations."""

FRESH_MS = 30 * 86_400_000

DOUBT = 10.0
"""How many events of the usual kind are added to an item's own before its likes are held to be a share of them."""


@dataclass(frozen=True)
class Covisit:
    """How one co-visit signal sums over what the person did: the k-th last thing counts `decay` to the power of k.

    `past` is which of the evidence is summed, `kernel` which weight; `after` sums only what people met afterwards.
    """

    name: str
    past: str
    kernel: str
    decay: float
    after: bool = False


COVISITS = (
    Covisit("met_now", "met", "met_near", 0.6),
    Covisit("met_lately", "met", "met_wide", 0.75),
    Covisit("met_long", "met", "met_wide", 0.9),
    Covisit("liked_lately", "likes", "liked", 0.85),
    Covisit("liked_long", "likes", "liked", 0.95),
    Covisit("liked_next", "likes", "liked", 0.85, after=True),
)
AFFINITY = "affinity"
OTHERS = ("likes", "approval", "trend", "interest", "alike", "fresh", AFFINITY)
SIGNALS = (*(of.name for of in COVISITS), *OTHERS)
"""The columns of the signal matrix, in order."""

_KERNEL = {kernel.name: at for at, kernel in enumerate(KERNELS)}


def covisit_scores(reach: Reach, known: Evidence, count: int) -> Floats:
    """Each co-visit signal of every item: float32 [len(COVISITS), count]. `reach` covers the likes and what was met."""
    place = {number: at for at, number in enumerate(reach.rows.tolist())}
    scores = np.zeros((len(COVISITS), count), np.float32)
    for past in ("likes", "met"):
        rows = [place[number] for number in getattr(known, past).tolist()]
        if not rows:
            continue
        # The pairs of these rows lie together where `reach` was asked for them together; those in between count 0.
        first, end = np.searchsorted(reach.of, (min(rows), max(rows) + 1))
        pairs = slice(first, end)
        of, others = reach.of[pairs], reach.other[pairs]
        for at, signal in enumerate(COVISITS):
            if signal.past == past:
                decays = np.zeros(len(reach.rows), np.float32)
                decays[rows] = signal.decay ** np.arange(len(rows))
                added = reach.strength[pairs, _KERNEL[signal.kernel]] * decays[of]
                scores[at] = np.bincount(others, added * reach.after[pairs] if signal.after else added, minlength=count)
    return scores


def measure(
    candidates: Ints,
    known: Evidence,
    *,
    covisited: Floats,
    alike: Floats,
    trend: NDArray[np.float64],
    affinities: Affinities | None,
    catalogue: Catalogue,
    graph: ItemGraph,
    now_ms: int,
) -> Floats:
    """The signals of each candidate, standardized within the set: float32 [len(candidates), len(SIGNALS)].

    A signal that is the same for all candidates is 0 for all: so is the affinity where no model tells it. A candidate
    that the model does not know has the mean of those that it knows.
    """
    attributes, _ = catalogue.attributes()
    wanted, rarity = interests(known, catalogue), catalogue.rarity()
    of_candidate = attributes[candidates]
    length = np.sqrt((rarity[of_candidate] ** 2).sum(axis=1))
    matching = (wanted[of_candidate] * rarity[of_candidate]).sum(axis=1) / np.where(length > 0, length, 1.0)
    age = np.maximum(now_ms - catalogue.published()[candidates], 0)
    matrix = np.column_stack(
        (
            covisited[:, candidates].T,
            np.log1p(graph.likes()[candidates]),
            approval(graph, candidates),
            np.log1p(trend[candidates]),
            matching,
            alike[candidates],
            np.exp2(-age / FRESH_MS),
            np.zeros(len(candidates)) if affinities is None else _filled(affinities, candidates),
        )
    )
    return standardize(matrix)


def _filled(affinities: Affinities, candidates: Ints) -> Floats:
    scores, known = affinities.scores[candidates], affinities.known[candidates]
    return np.where(known, scores, scores[known].mean() if known.any() else 0.0)


def approval(graph: ItemGraph, candidates: Ints) -> NDArray[np.float64]:
    """The share of each candidate's events that are likes, drawn to the share of all events where there are few."""
    likes, events = graph.likes(), graph.events()
    usual = likes.sum() / max(1.0, events.sum())
    return np.asarray((likes[candidates] + DOUBT * usual) / (events[candidates] + DOUBT))


def likeness(known: Evidence, catalogue: Catalogue) -> Floats:
    """How alike in text each item is to the person's likes, -1 to 1, float32 [len(catalogue.index)]."""
    weights = (0.9 ** np.arange(len(known.likes))).astype(np.float32)
    profile = catalogue.likeness.profile(known.likes, weights)
    alike = np.zeros(len(catalogue.index), np.float32)
    vectors = catalogue.likeness.vectors()[: len(alike)]
    alike[: len(vectors)] = vectors @ profile
    return alike


def standardize(matrix: NDArray[np.float64]) -> Floats:
    """Each column with mean 0 and deviation 1, clipped to CLIP; a column without spread becomes 0."""
    if not len(matrix):
        return matrix.astype(np.float32)
    spread = matrix.std(axis=0)
    flat = spread <= 1e-9 * np.maximum(1.0, np.abs(matrix).max(axis=0))
    scaled = (matrix - matrix.mean(axis=0)) / np.where(flat, 1.0, spread)
    return np.where(flat, 0.0, scaled).clip(-CLIP, CLIP).astype(np.float32)
