"""The blend: the weights of the signals, learned online from which of the offered candidates the user took.

Scores are a weighted sum of standardized signals. The weight of signal s for candidate i is

    weight_s + sum over m of slope_sm x modifier_mi

where the modifiers describe the user and the item (`streams.ranking.modifiers`): co-visits can count more for users
with a long history. Each list that was followed by a like of one of its leading candidates is one step of the listwise
softmax loss over those (ListNet's top-one form: Cao et al., ICML 2007) under AdaGrad (Duchi et al., JMLR 2011).
Weights start at the priors of the signals, slopes at 0; all are bounded, and those of fixed signals stay. Slopes count
once they have predicted likes better than the weights alone: see `trust`. The model's score has a separate weight,
never below 0, learned only from lists that the model scored: a model that does not help fades to no effect. If a model
gives vectors, its affinity is one of the signals, and its scores count by what they add to the affinity.

The candidate sources determine the signals (`streams.candidates.registry`). Stored weights have the names of their
signals, so a worker with other sources can read a blend: see `fitted`.
"""

import math
from dataclasses import dataclass
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.candidates.registry import BUILT_IN_COLUMNS, MAX_WEIGHT, Columns
from streams.fold.context import digest
from streams.ranking.modifiers import MODIFIERS

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = tuple[tuple[float, ...], ...]

RATE = 0.1
MODEL_RATE = 0.05
SLOPE_RATE = 0.03
MOST = MAX_WEIGHT
MOST_SLOPE = 1.0

PATIENCE = 1.0
"""The initial value of AdaGrad's sums of squares: how long the prior weights resist the first lists."""

SLOPE_PATIENCE = 100.0
"""The same for the slopes, which need more lists to be told from chance."""

LEADING = 100
"""The blend learns the order of this many best candidates, with those of equal score. A list shows a tenth of them: a
like of a candidate far below says little about the order at the top."""

SCARCE = 1_000
"""Until it has learned from this many lists, the blend learns the order of all candidates."""

TRUSTED = 10.0
"""From this advantage on, in nats, slopes count in full: the likes were e^10 times as probable with them as without."""

KEPT = 0.999
"""The share of the advantage that is left after a list: it is that of about the last thousand."""

MOST_ADVANTAGE = 100.0
TINY = 1e-12


class Blend(msgspec.Struct, frozen=True, array_like=True):
    """The weights of one scene by signal name, with AdaGrad's sums; 1.7 KiB, at most 5 with custom signals.

    `lists`: how many it learned from. `slopes` and `slope_squares` have a row for each signal, with a number for each
    of `modifiers`; without modifiers, as in blends of older workers, all slopes are 0. `advantage`: how much more
    probable the likes of the last lists were with the slopes than without, as a logarithm (nats).
    """

    names: tuple[str, ...] = BUILT_IN_COLUMNS.names
    weights: tuple[float, ...] = BUILT_IN_COLUMNS.priors
    squares: tuple[float, ...] = (PATIENCE,) * len(BUILT_IN_COLUMNS)
    model_weight: float = 0.0
    model_square: float = PATIENCE
    lists: int = 0
    modifiers: tuple[str, ...] = ()
    slopes: tuple[tuple[float, ...], ...] = ()
    slope_squares: tuple[tuple[float, ...], ...] = ()
    advantage: float = 0.0


@dataclass(frozen=True)
class Remembered:
    """The data of a list that learning needs, about 50 bytes per candidate.

    `marks`: the candidates' digests, uint64 [n]; `signals`, float16 [n, len(columns)]; `modifiers`, float16
    [n, len(MODIFIERS)]; `model`: the model's standardized scores, float16 [n], or None; `columns`: the signals by
    column.
    """

    marks: NDArray[np.uint64]
    signals: NDArray[np.float16]
    modifiers: NDArray[np.float16]
    model: NDArray[np.float16] | None
    columns: Columns = BUILT_IN_COLUMNS


def fitted(blend: Blend, columns: Columns) -> Blend:
    """The blend with weights for these columns, in their order; the same object if it has them.

    Weights and slopes are matched by name. A signal that the blend does not know starts at its prior, with slopes of 0;
    weights of other signals are dropped. A damaged blend (not as many weights as names, or a weight that is not finite)
    starts over.
    """
    if not _sound(blend):
        return Blend(columns.names, columns.priors, (PATIENCE,) * len(columns))
    if _fits(blend, columns):
        return blend
    weights = dict(zip(blend.names, blend.weights, strict=True))
    squares = dict(zip(blend.names, blend.squares, strict=True))
    kept = Blend(
        columns.names,
        tuple(weights.get(name, prior) for name, prior in zip(columns.names, columns.priors, strict=True)),
        tuple(squares.get(name, PATIENCE) for name in columns.names),
        blend.model_weight,
        blend.model_square,
        blend.lists,
    )
    if not blend.modifiers:
        return kept
    return msgspec.structs.replace(
        kept,
        modifiers=MODIFIERS,
        slopes=_by_name(blend, blend.slopes, columns, 0.0),
        slope_squares=_by_name(blend, blend.slope_squares, columns, SLOPE_PATIENCE),
        advantage=blend.advantage,
    )


def weights_of(blend: Blend, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The weights without the slopes, in the order of the columns, float32, of a blend that is not damaged."""
    held = blend if blend.names == columns.names else fitted(blend, columns)
    return np.array(held.weights, np.float32)


def trust(blend: Blend) -> float:
    """How much the slopes count, from 0 while they have not predicted better than the weights alone, to 1."""
    return min(1.0, max(0.0, blend.advantage / TRUSTED)) if blend.modifiers else 0.0


def varied(blend: Blend, modifiers: Floats, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The weight of each signal for each candidate, float32 [n, len(columns)], of a blend that is not damaged; at most
    `MOST` + `MOST_SLOPE` x len(MODIFIERS) either way. `modifiers` is float32 [n, len(MODIFIERS)]."""
    held = blend if _fits(blend, columns) else fitted(blend, columns)
    weights = weights_of(held, columns)
    if trust(held) == 0.0:
        return np.broadcast_to(weights, (len(modifiers), len(weights)))
    slopes = np.float32(trust(held)) * np.array(held.slopes, np.float32)
    return np.asarray(weights + modifiers @ slopes.T, np.float32)


def weighed(blend: Blend, signals: Floats, modifiers: Floats, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The score of each candidate by its signals, float32 [n]."""
    if trust(blend) == 0.0:
        return np.asarray(signals @ weights_of(blend, columns), np.float32)
    return np.asarray(np.einsum("ns,ns->n", signals, varied(blend, modifiers, columns)), np.float32)


def behavioural(blend: Blend, signals: Floats, modifiers: Floats, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The part of `weighed` that does not depend on a model, float32 [n]."""
    return weighed(blend, np.where(np.array(columns.of_model), np.float32(0), signals), modifiers, columns)


def learn(blend: Blend, list_: Remembered, taken: str) -> Blend:
    """The blend after a like of `taken` that is about this list. Unchanged if that was not among its leading
    candidates."""
    at = np.flatnonzero(list_.marks == np.uint64(digest(taken)))
    if not len(at):
        return blend
    held, shape = fitted(blend, list_.columns), (len(list_.columns), len(MODIFIERS))
    signals, modifiers = list_.signals.astype(np.float64), list_.modifiers.astype(np.float64)
    weights, squares = np.array(held.weights), np.array(held.squares)
    slopes = np.array(held.slopes) if held.modifiers else np.zeros(shape)
    slope_squares = np.array(held.slope_squares) if held.modifiers else np.full(shape, SLOPE_PATIENCE)
    plain = signals @ weights
    model = None if list_.model is None else list_.model.astype(np.float64)
    if model is not None:
        plain = plain + held.model_weight * model
    bend = (signals * (modifiers @ slopes.T)).sum(axis=1)
    scores = plain + trust(held) * bend
    count = min(len(scores), len(scores) if held.lists < SCARCE else LEADING)
    leads = scores >= np.partition(scores, -count)[-count]
    if not leads[at[0]]:
        return blend
    chance, chance_with, chance_without = (_chances(one, leads) for one in (scores, plain + bend, plain))
    gain = math.log(chance_with[at[0]] + TINY) - math.log(chance_without[at[0]] + TINY)
    chance[at[0]] -= 1.0
    chance_with[at[0]] -= 1.0
    learned = np.where(list_.columns.fixed, 0.0, signals)
    weights, squares = _stepped(weights, squares, chance @ learned, RATE, MOST)
    slope = learned.T @ (chance_with[:, None] * modifiers)
    slopes, slope_squares = _stepped(slopes, slope_squares, slope, SLOPE_RATE, MOST_SLOPE)
    model_weight, model_square = held.model_weight, held.model_square
    if model is not None:
        steep = float(chance @ model)
        model_square += steep**2
        model_weight = float(np.clip(model_weight - MODEL_RATE * steep / np.sqrt(model_square), 0.0, MOST))
    return Blend(
        list_.columns.names,
        tuple(weights.tolist()),
        tuple(squares.tolist()),
        model_weight,
        model_square,
        held.lists + 1,
        MODIFIERS,
        tuple(map(tuple, slopes.tolist())),
        tuple(map(tuple, slope_squares.tolist())),
        min(MOST_ADVANTAGE, max(-MOST_ADVANTAGE, KEPT * held.advantage + gain)),
    )


def _chances(scores: Doubles, leads: NDArray[np.bool_]) -> Doubles:
    """The softmax of the scores over the leading candidates, 0 for the others."""
    found = np.where(leads, np.exp(np.minimum(scores - scores[leads].max(), 0.0)), 0.0)
    return np.asarray(found / found.sum())


def _stepped(values: Doubles, squares: Doubles, gradient: Doubles, rate: float, most: float) -> tuple[Doubles, Doubles]:
    """One step of AdaGrad within `most` either way: the values, and the sums of squares."""
    squares = squares + gradient**2
    return np.clip(values - rate * gradient / np.sqrt(squares), -most, most), squares


def _by_name(blend: Blend, rows: Rows, columns: Columns, default: float) -> Rows:
    """The rows of these columns and this worker's modifiers; `default` where the blend has none."""
    held = {
        (name, modifier): value
        for name, row in zip(blend.names, rows, strict=True)
        for modifier, value in zip(blend.modifiers, row, strict=True)
    }
    return tuple(tuple(held.get((name, one), default) for one in MODIFIERS) for name in columns.names)


def _fits(blend: Blend, columns: Columns) -> bool:
    return blend.names == columns.names and blend.modifiers in ((), MODIFIERS)


def _sound(blend: Blend) -> bool:
    count, width = len(blend.names), len(blend.modifiers)
    if not len(set(blend.names)) == count == len(blend.weights) == len(blend.squares):
        return False
    rows = (*blend.slopes, *blend.slope_squares)
    if len(set(blend.modifiers)) != width or len(rows) != (2 * count if width else 0):
        return False
    if len(blend.slopes) != len(blend.slope_squares) or any(len(row) != width for row in rows):
        return False
    squares = (*blend.squares, blend.model_square, *chain.from_iterable(blend.slope_squares))
    numbers = (*blend.weights, blend.model_weight, blend.advantage, *chain.from_iterable(blend.slopes), *squares)
    return all(map(math.isfinite, numbers)) and min(squares) > 0
