"""What the partitions learned about a blend, each by itself, and the blend of all. Pure.

The steps of AdaGrad add up: a weight is its prior plus the sum of all its steps, a sum of squares its initial value
plus the sum of all squared gradients. So each partition keeps the sum of the steps that it took, and the blend that
makes lists, and from which every step is taken, is the start plus the sum over the partitions, within the bounds of
`streams.ranking.blend`. Of one partition alone, this is the blend that `learn` makes.

Parts of other workers are old by a second or so. While there is little to learn from, all partitions would take the
same large steps without knowing of each other, and their sum would go too far. So a step counts squares that the others
have probably added meanwhile (`foreseen`): as many as this worker's own partitions since their parts were published.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.blends import MAX_COUNT, BlendPart, LearnedSignal, part_id
from streams.candidates.registry import Columns
from streams.ranking.blend import KEPT, MOST, MOST_ADVANTAGE, MOST_SLOPE, PATIENCE, SLOPE_PATIENCE, Blend, fitted
from streams.ranking.modifiers import MODIFIERS

Doubles = NDArray[np.float64]

WIDTH = len(MODIFIERS)
WEIGHT, SQUARES = 0, 1
SLOPES, SLOPE_SQUARES = slice(2, 2 + WIDTH), slice(2 + WIDTH, 2 + 2 * WIDTH)
"""The columns of a table of numbers. It has a row for each signal, and a last one for the model's scores."""

MOST_MOVED = 1e30


class Learned(NamedTuple):
    """What a partition learned, for the signals of this worker: `moved`, float64 [len(columns) + 1, 2 + 2 x WIDTH], has
    the sums of its steps and of its squares. The other fields are as in `BlendPart`."""

    moved: Doubles
    lists: int = 0
    heard: int = 0
    advantage: float = 0.0


def nothing(columns: Columns) -> Learned:
    return Learned(np.zeros((len(columns) + 1, 2 + 2 * WIDTH)))


def same(one: Learned, other: Learned) -> bool:
    return one[1:] == other[1:] and np.array_equal(one.moved, other.moved)


def learned_of(part: BlendPart, columns: Columns) -> Learned:
    """A part for the signals of this worker, by name: what it says of others is dropped."""
    found = nothing(columns)
    found.moved[-1, :2] = part.model.moved, part.model.squares
    for row, name in zip(found.moved, columns.names, strict=False):
        signal = part.signals.get(name)
        if signal is None:
            continue
        row[:2] = signal.moved, signal.squares
        for modifier, slope, squares in zip(part.modifiers, signal.slopes, signal.slope_squares, strict=False):
            if modifier in MODIFIERS:
                at = MODIFIERS.index(modifier)
                row[SLOPES.start + at], row[SLOPE_SQUARES.start + at] = slope, squares
    return found._replace(lists=part.lists, heard=part.heard, advantage=part.advantage)


def part_of(learned: Learned, columns: Columns, partition: int, scene: str) -> BlendPart:
    """The part as it is stored and published."""
    rows = np.clip(learned.moved, -MOST_MOVED, MOST_MOVED).tolist()
    return BlendPart(
        id=part_id(partition, scene),
        partition=partition,
        scene=scene,
        lists=learned.lists,
        heard=min(learned.heard, MAX_COUNT),
        advantage=learned.advantage,
        model=LearnedSignal(*rows[-1][:2]),
        modifiers=MODIFIERS,
        signals={
            name: LearnedSignal(row[WEIGHT], row[SQUARES], tuple(row[SLOPES]), tuple(row[SLOPE_SQUARES]))
            for name, row in zip(columns.names, rows, strict=False)
        },
    )


def carried_over(blend: Blend, columns: Columns, partitions: int) -> Learned:
    """What a partition had learned by itself, before partitions learned together.

    Each of them has moved its weights by about as much as all would together, so it counts as one of `partitions` of
    them: their sum is the mean. Squares count in full.
    """
    held = fitted(blend, columns)
    moved = _table(held) - _start(columns)
    moved[:, WEIGHT] /= partitions
    moved[:, SLOPES] /= partitions
    return Learned(moved, held.lists, held.lists * partitions, held.advantage / partitions)


def combined(parts: Iterable[Learned], columns: Columns) -> Blend:
    """The blend of all partitions. Its advantage is of about the last thousand lists of all, as of one partition."""
    held = list(parts)
    lists = sum(each.lists for each in held)
    total = _start(columns) + sum(each.moved for each in held)
    advantage = sum(each.advantage * KEPT ** max(0, lists - each.heard) for each in held)
    rows = total[:-1]
    return Blend(
        columns.names,
        tuple(np.clip(rows[:, WEIGHT], -MOST, MOST).tolist()),
        tuple(rows[:, SQUARES].tolist()),
        float(np.clip(total[-1, WEIGHT], 0.0, MOST)),
        float(total[-1, SQUARES]),
        lists,
        MODIFIERS,
        tuple(map(tuple, np.clip(rows[:, SLOPES], -MOST_SLOPE, MOST_SLOPE).tolist())),
        tuple(map(tuple, rows[:, SLOPE_SQUARES].tolist())),
        float(np.clip(advantage, -MOST_ADVANTAGE, MOST_ADVANTAGE)),
    )


def foreseen(unpublished: Iterable[tuple[Learned, Learned | None]], others: float, columns: Columns) -> Learned:
    """The squares that partitions of other workers have probably added since this worker heard of them, as one more
    part.

    `unpublished` has what each of this worker's partitions learned, and what it had learned as the others know it;
    `others` is how many partitions of other workers there are for each of this worker's.
    """
    found = nothing(columns)
    for learned, known in unpublished:
        more = learned.moved if known is None else learned.moved - known.moved
        for squares in (SQUARES, SLOPE_SQUARES):
            found.moved[:, squares] += others * np.maximum(0.0, more[:, squares])
    return found


def stepped(learned: Learned, before: Blend, after: Blend) -> Learned:
    """What a partition has learned after it took the step from one blend to the other.

    A step that `learn` has cut at a bound is as short here. Unchanged if a number would not be finite.
    """
    moved = learned.moved + _table(after) - _table(before)
    faded = learned.advantage * KEPT ** max(0, after.lists - learned.heard)
    advantage = faded + after.advantage - KEPT * before.advantage
    if not (np.isfinite(moved).all() and np.isfinite(advantage)):
        return learned
    return Learned(moved, learned.lists + 1, after.lists, advantage)


def _start(columns: Columns) -> Doubles:
    return _table(Blend(columns.names, columns.priors, (PATIENCE,) * len(columns)))


def _table(blend: Blend) -> Doubles:
    """The numbers of a blend, in the order of its signals."""
    found = np.zeros((len(blend.names) + 1, 2 + 2 * WIDTH))
    found[:-1, WEIGHT], found[:-1, SQUARES] = blend.weights, blend.squares
    found[-1, :2] = blend.model_weight, blend.model_square
    found[:-1, SLOPES] = blend.slopes if blend.modifiers else 0.0
    found[:-1, SLOPE_SQUARES] = blend.slope_squares if blend.modifiers else SLOPE_PATIENCE
    return found
