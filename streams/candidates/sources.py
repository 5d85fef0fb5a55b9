"""Which items are worth ranking for a person now: bounded sources, and which of them named each candidate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.recommendations import Source
from streams.items.vectors import Affinities

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Marks = NDArray[np.uint64]
"""Digests of items. Ties are broken by them: by number, an item that comes later would stand behind every other."""

SOURCES = (Source.COVISITED, Source.TRENDING, Source.FRESH, Source.ALIKE, Source.NEAREST, Source.EXPLORED)
"""Bit k of a candidate's sources stands for SOURCES[k]."""


@dataclass(frozen=True)
class Sizes:
    """How many candidates each source may name."""

    covisited: int = 250
    trending: int = 60
    fresh: int = 20
    alike: int = 30
    nearest: int = 100


@dataclass(frozen=True)
class Candidates:
    """Distinct item numbers, int64 [n], and which sources named each, bits, uint8 [n]."""

    numbers: Ints
    sources: NDArray[np.uint8]


def gather(
    allowed: Bools,
    *,
    covisited: Floats,
    trend: NDArray[np.float64],
    likes: NDArray[np.float64],
    published: Ints,
    alike: Floats,
    marks: Marks,
    sizes: Sizes,
) -> Candidates:
    """The candidates of a person without a model. Every array is by item number; `allowed` says which may be shown.

    Co-visited: by the sum of the co-visit signals, each as a share of its best. Trending: by the decayed trend, and by
    likes where a scene has no trend yet. Fresh: the newest by publication, where that is known. Alike: by text.
    """
    best = covisited.max(axis=1, keepdims=True, initial=0.0)
    near = (covisited / np.where(best > 0, best, 1.0)).sum(axis=0)
    wanted = trend + 1e-6 * likes
    sources = np.zeros(len(allowed), np.uint8)
    for bit, (score, most) in enumerate(
        (
            (near, sizes.covisited),
            (wanted, sizes.trending),
            (published, sizes.fresh),
            (alike, sizes.alike),
        )
    ):
        sources[top(score, allowed & (score > 0), most, marks)] |= 1 << bit
    numbers = np.flatnonzero(sources)
    if not len(numbers):  # nothing is known of any item: any that may be shown will do
        numbers = np.sort(top(np.zeros(len(allowed)), allowed, sizes.trending, marks))
        sources[numbers] = 1 << SOURCES.index(Source.EXPLORED)
    return Candidates(numbers, sources[numbers])


def widen(found: Candidates, allowed: Bools, affinities: Affinities, marks: Marks, sizes: Sizes) -> Candidates:
    """The candidates and, beside them, the items for which the model has most affinity: the source `nearest`."""
    count = len(allowed)
    sources = np.zeros(count, np.uint8)
    sources[found.numbers] = found.sources
    near = top(affinities.scores[:count], allowed & affinities.known[:count], sizes.nearest, marks)
    sources[near] |= 1 << SOURCES.index(Source.NEAREST)
    numbers = np.flatnonzero(sources)
    return Candidates(numbers, sources[numbers])


def top(score: NDArray[np.generic], among: Bools, most: int, marks: Marks) -> Ints:
    """The numbers of the `most` best scores among those marked, in no order. Ties go to the lower of `marks`."""
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


def named(bits: int) -> tuple[Source, ...]:
    """The sources behind a candidate's bits."""
    return tuple(source for bit, source in enumerate(SOURCES) if bits & (1 << bit))
