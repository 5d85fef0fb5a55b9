"""k-fold cross-validation by user: each rating is predicted from the other folds' ratings of its user and of others.

A classifier learns how to weigh features from ratings whose features do not know them. So folds are held out in pairs:
to judge fold f, the ratings of each other fold g are described from what is in neither f nor g, and those of f from
what is not in f. Each pair serves both of its folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.like_dislike.features import TEXT, TIMED, features
from inference.evaluation.like_dislike.logistic import Inputs, fit, loss, probabilities
from inference.evaluation.like_dislike.ratings import Floats, Ints, Ratings, Texts

MAJORITY, FACTORIZATION, CLASSIFIER = "majority", "factorization", "classifier"
RIDGES = (1000.0, 100.0, 10.0)
MULTIPLIED = (
    *(
        "biases",
        "factors_3",
        "factors_10",
        "factors_20",
        "likes_10",
        "dislikes_10",
        "items",
        "users",
        "together",
        "attributes",
    ),
    *("user_bias", "item_bias", "user_count", "item_count", "user_scatter", "item_scatter", "exposed"),
    *("mood_second", "mood_minute", "mood_ten_minutes", "left_minute", "many_minute", "place"),
)

Method = tuple[tuple[str, ...], tuple[str, ...]]
"""The features of a method, and those of them that are multiplied by each other."""

Held = tuple[int, ...]
"""The folds that are held out: one, or a pair."""


@dataclass(frozen=True)
class Described:
    """Features of the likes and dislikes of the held-out folds; `rows` int64 [m] index the ratings."""

    held: Held
    rows: Ints
    features: Mapping[str, Floats]


@dataclass(frozen=True)
class Judged:
    """The likes and dislikes [m], in the order of the ratings: users, folds, and whether each is a like.

    `chance`, by method: the predicted probability of a like. `base` is the share of likes that was learned from, and
    `ridges` has the classifier's for each fold.
    """

    user: Ints
    fold: Ints
    liked: NDArray[np.bool_]
    chance: Mapping[str, Floats]
    base: Floats
    ridges: Sequence[float]


def held_out(count: int) -> list[Held]:
    """What `describe` has to be asked for: all pairs of folds, and each fold."""
    return [*combinations(range(count), 2), *((fold,) for fold in range(count))]


def describe(ratings: Ratings, fold: Ints, held: Held, texts: Texts) -> Described:
    """Features of the held-out likes and dislikes from the ratings of the other folds."""
    away = np.isin(fold, held)
    rows = np.flatnonzero(away & (ratings.value != 0))
    wanted = np.zeros(len(ratings), np.bool_)
    wanted[rows] = True
    return Described(held, rows, features(ratings.only(~away), ratings.only(wanted), texts))


def judge(ratings: Ratings, fold: Ints, described: Sequence[Described]) -> Judged:
    """Predict each like and dislike by each method. `described`: one for each of `held_out`."""
    count = int(fold.max()) + 1
    by_held = {frozenset(one.held): one for one in described}
    certain = np.flatnonzero(ratings.value != 0)
    position = np.zeros(len(ratings), np.int64)
    position[certain] = np.arange(len(certain))
    names = tuple(described[0].features)
    timeless = tuple(name for name in names if name not in TIMED)
    methods: dict[str, Method] = {
        "item_mean": (("item_mean",), ()),
        "biases": (("biases",), ()),
        FACTORIZATION: (("factors_10",), ()),
        CLASSIFIER: _but(names, ()),
        f"{CLASSIFIER}_no_texts": _but(names, TEXT),
        f"{CLASSIFIER}_no_times": _but(timeless, ()),
    }
    chance = {name: np.zeros(len(certain), np.float32) for name in (MAJORITY, *methods)}
    base = np.zeros(len(certain), np.float32)
    ridges = []
    for tested in range(count):
        rest = [other for other in range(count) if other != tested]
        learned = {other: _of_fold(by_held[frozenset((tested, other))], fold, other) for other in rest}
        asked = by_held[frozenset((tested,))]
        places = position[asked.rows]
        liked = {other: (ratings.value[one.rows] > 0).astype(np.float32) for other, one in learned.items()}
        share = float(np.concatenate(list(liked.values())).mean())
        base[places] = share
        ridges.append(_ridge(learned, liked, methods[CLASSIFIER]))
        for name, method in methods.items():
            ridge = ridges[-1] if method[1] else RIDGES[-1]
            chance[name][places] = _predict(learned, liked, asked, method, ridge)
    chance[MAJORITY][:] = base.min()
    return Judged(ratings.user[certain], fold[certain], ratings.value[certain] > 0, chance, base, ridges)


def _but(names: Sequence[str], without: Sequence[str]) -> Method:
    kept = tuple(name for name in names if name not in without)
    return kept, tuple(name for name in MULTIPLIED if name in kept)


def _of_fold(described: Described, fold: Ints, one: int) -> Described:
    """Only the ratings of one of the held-out folds."""
    which = fold[described.rows] == one
    return Described((one,), described.rows[which], {name: row[which] for name, row in described.features.items()})


def _ridge(learned: Mapping[int, Described], liked: Mapping[int, Floats], method: Method) -> float:
    """The ridge that is best on the last fold when learned from the others."""
    *others, last = learned
    if not others:
        return RIDGES[0]
    every = _together(learned, others, method[0])
    inputs = Inputs.of(every, *method)
    rows, truth = inputs.rows(every), np.concatenate([liked[one] for one in others])
    judged, weights, losses = inputs.rows(learned[last].features), None, []
    for ridge in RIDGES:
        weights = fit(rows, truth, ridge, weights)
        losses.append(loss(probabilities(judged, weights), liked[last]))
    return RIDGES[int(np.argmin(losses))]


def _predict(
    learned: Mapping[int, Described], liked: Mapping[int, Floats], asked: Described, method: Method, ridge: float
) -> Floats:
    every = _together(learned, list(learned), method[0])
    inputs = Inputs.of(every, *method)
    weights = fit(inputs.rows(every), np.concatenate(list(liked.values())), ridge)
    return probabilities(inputs.rows(asked.features), weights)


def _together(learned: Mapping[int, Described], which: Sequence[int], columns: Sequence[str]) -> dict[str, Floats]:
    return {name: np.concatenate([learned[one].features[name] for one in which]) for name in columns}
