"""The blend: one weight per signal, learned online from which of the offered candidates the user took.

Scores are a weighted sum of standardized signals. Each list that was followed by a like of one of its candidates is
one step of the listwise softmax loss (ListNet's top-one form: Cao et al., ICML 2007) under AdaGrad (Duchi et al.,
JMLR 2011). Weights are bounded, and start at the priors of the signals. The model's score has a separate weight, never
below 0, learned only from lists that the model scored: a model that does not help fades to no effect. If a model gives
vectors, its affinity is one of the signals, and its scores count by what they add to the affinity.

The candidate sources determine the signals (`streams.candidates.registry`). Stored weights have the names of their
signals, so a worker with other sources can read a blend: see `fitted`.
"""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.candidates.registry import BUILT_IN_COLUMNS, MAX_WEIGHT, Columns
from streams.fold.context import digest

Floats = NDArray[np.float32]

RATE = 0.1
MODEL_RATE = 0.05
MOST = MAX_WEIGHT

PATIENCE = 1.0
"""The initial value of AdaGrad's sums of squares: how long the prior weights resist the first lists."""


class Blend(msgspec.Struct, frozen=True, array_like=True):
    """The weights of one scene by signal name, with AdaGrad's sums; 0.5 KiB, at most 2 with custom signals.

    `lists`: how many it learned from.
    """

    names: tuple[str, ...] = BUILT_IN_COLUMNS.names
    weights: tuple[float, ...] = BUILT_IN_COLUMNS.priors
    squares: tuple[float, ...] = (PATIENCE,) * len(BUILT_IN_COLUMNS)
    model_weight: float = 0.0
    model_square: float = PATIENCE
    lists: int = 0


@dataclass(frozen=True)
class Remembered:
    """The data of a list that learning needs, about 40 bytes per candidate.

    `marks`: the candidates' digests, uint64 [n]; `signals`, float16 [n, len(columns)]; `model`: the model's
    standardized scores, float16 [n], or None; `columns`: the signals by column.
    """

    marks: NDArray[np.uint64]
    signals: NDArray[np.float16]
    model: NDArray[np.float16] | None
    columns: Columns = BUILT_IN_COLUMNS


def fitted(blend: Blend, columns: Columns) -> Blend:
    """The blend with a weight for each of these columns, in their order; the same object if it has them.

    Weights are matched by name. A signal that the blend does not know starts at its prior; weights of other signals are
    dropped. A damaged blend (not as many weights as names, or a weight that is not finite) starts over.
    """
    sound = _sound(blend)
    if sound and blend.names == columns.names:
        return blend
    if not sound:
        return Blend(columns.names, columns.priors, (PATIENCE,) * len(columns))
    weights = dict(zip(blend.names, blend.weights, strict=True))
    squares = dict(zip(blend.names, blend.squares, strict=True))
    return Blend(
        columns.names,
        tuple(weights.get(name, prior) for name, prior in zip(columns.names, columns.priors, strict=True)),
        tuple(squares.get(name, PATIENCE) for name in columns.names),
        blend.model_weight,
        blend.model_square,
        blend.lists,
    )


def weights_of(blend: Blend, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The weights in the order of the columns, float32, of a blend that is not damaged."""
    held = blend if blend.names == columns.names else fitted(blend, columns)
    return np.array(held.weights, np.float32)


def weighed(blend: Blend, signals: Floats, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The score of each candidate by its signals, float32 [n]."""
    return np.asarray(signals @ weights_of(blend, columns), np.float32)


def behavioural(blend: Blend, signals: Floats, columns: Columns = BUILT_IN_COLUMNS) -> Floats:
    """The part of `weighed` that does not depend on a model, float32 [n]."""
    weights = weights_of(blend, columns)
    weights[np.array(columns.of_model)] = 0.0
    return np.asarray(signals @ weights, np.float32)


def learn(blend: Blend, list_: Remembered, taken: str) -> Blend:
    """The blend after a like of `taken` that is about this list. Unchanged if that was not among its candidates."""
    at = np.flatnonzero(list_.marks == np.uint64(digest(taken)))
    if not len(at):
        return blend
    blend = fitted(blend, list_.columns)
    signals = list_.signals.astype(np.float64)
    weights, squares = np.array(blend.weights, np.float32).astype(np.float64), np.array(blend.squares)
    scores = signals @ weights
    model = None if list_.model is None else list_.model.astype(np.float64)
    if model is not None:
        scores = scores + blend.model_weight * model
    chance = np.exp(scores - scores.max())
    chance /= chance.sum()
    chance[at[0]] -= 1.0
    slope = chance @ signals
    squares = squares + slope**2
    weights = np.clip(weights - RATE * slope / np.sqrt(squares), -MOST, MOST)
    model_weight, model_square = blend.model_weight, blend.model_square
    if model is not None:
        steep = float(chance @ model)
        model_square += steep**2
        model_weight = float(np.clip(model_weight - MODEL_RATE * steep / np.sqrt(model_square), 0.0, MOST))
    names = list_.columns.names
    return Blend(names, tuple(weights.tolist()), tuple(squares.tolist()), model_weight, model_square, blend.lists + 1)


def _sound(blend: Blend) -> bool:
    numbers = (*blend.weights, *blend.squares, blend.model_weight, blend.model_square)
    same = len(set(blend.names)) == len(blend.names) == len(blend.weights) == len(blend.squares)
    return same and all(map(math.isfinite, numbers)) and min((*blend.squares, blend.model_square)) > 0
