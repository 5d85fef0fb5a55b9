"""The blend: one weight a signal, learned online from which of the offered candidates the user liked next.

Scores are a weighted sum of standardized signals. Each like that `streams.fold.attribution` finds to be about a list,
of one of the candidates of that list, is one step of the listwise softmax loss (ListNet's top-one form: Cao et al.,
ICML 2007) under AdaGrad (Duchi et al., JMLR 2011). Weights are bounded, and start at values that are good before
anything is learned. The model's score has its own weight, never below 0, learned only from lists that the model scored:
a model that does not help fades to no effect. Where a model gives vectors, its affinity is one of the signals, and its
scores tell what they add to that.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.fold.context import digest
from streams.ranking.signals import AFFINITY, SIGNALS

Floats = NDArray[np.float32]

RATE = 0.1
MODEL_RATE = 0.05
MOST = 4.0
"""No weight goes beyond this, either way."""

PATIENCE = 1.0
"""What AdaGrad's sums of squares start at: how long the prior weights resist the first lists."""

PRIOR = {
    "met_now": 0.25,
    "met_lately": 0.25,
    "met_long": 0.2,
    "liked_lately": 0.15,
    "liked_long": 0.25,
    "liked_next": 0.05,
    "likes": 0.05,
    "approval": 0.2,
    "trend": 0.15,
    "interest": 0.15,
    "alike": 0.03,
    "fresh": 0.02,
    AFFINITY: 0.5,
}


class Blend(msgspec.Struct, frozen=True, array_like=True):
    """The weights of one scene, by signal name, with AdaGrad's sums; under 1 KiB. `lists`: how many it learned from."""

    names: tuple[str, ...] = SIGNALS
    weights: tuple[float, ...] = tuple(PRIOR[name] for name in SIGNALS)
    squares: tuple[float, ...] = (PATIENCE,) * len(SIGNALS)
    model_weight: float = 0.0
    model_square: float = PATIENCE
    lists: int = 0


@dataclass(frozen=True)
class Remembered:
    """What is held of a list to learn from it: `marks`, the candidates' digests, uint64 [n]; their signals, float16
    [n, len(SIGNALS)]; the model's standardized scores, float16 [n], or None. About 40 bytes a candidate."""

    marks: NDArray[np.uint64]
    signals: NDArray[np.float16]
    model: NDArray[np.float16] | None


def weights_of(blend: Blend) -> Floats:
    """The blend's weights in the order of SIGNALS; a signal that it has not met has its prior."""
    if blend.names == SIGNALS:
        return np.array(blend.weights, np.float32)
    held = dict(zip(blend.names, blend.weights, strict=True))
    return np.array([held.get(name, PRIOR[name]) for name in SIGNALS], np.float32)


def weighed(blend: Blend, signals: Floats) -> Floats:
    """The score of each candidate by its signals, float32 [n]."""
    return np.asarray(signals @ weights_of(blend), np.float32)


def behavioural(blend: Blend, signals: Floats) -> Floats:
    """The part of `weighed` in which no model has a part, float32 [n]."""
    weights = weights_of(blend)
    weights[SIGNALS.index(AFFINITY)] = 0.0
    return np.asarray(signals @ weights, np.float32)


def learn(blend: Blend, list_: Remembered, taken: str) -> Blend:
    """The blend after a like of `taken` that is about this list. Unchanged if that was not among its candidates."""
    at = np.flatnonzero(list_.marks == np.uint64(digest(taken)))
    if not len(at):
        return blend
    signals = list_.signals.astype(np.float64)
    weights, squares = weights_of(blend).astype(np.float64), _squares(blend)
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
    return Blend(SIGNALS, tuple(weights.tolist()), tuple(squares.tolist()), model_weight, model_square, blend.lists + 1)


def _squares(blend: Blend) -> NDArray[np.float64]:
    held = dict(zip(blend.names, blend.squares, strict=True))
    return np.array([held.get(name, PATIENCE) for name in SIGNALS])
