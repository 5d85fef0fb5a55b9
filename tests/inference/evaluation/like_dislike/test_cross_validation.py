"""Like or dislike: folds, factorization, features, regression and figures, on data with planted tastes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.like_dislike.cross_validation import CLASSIFIER, Judged, describe, held_out, judge
from inference.evaluation.like_dislike.factorization import factorize
from inference.evaluation.like_dislike.features import features
from inference.evaluation.like_dislike.figures import METRICS, auc, calibration_error, figures
from inference.evaluation.like_dislike.logistic import Inputs, fit, loss, probabilities
from inference.evaluation.like_dislike.ratings import Ratings, Texts, attribute_rows, folds

USERS, ITEMS, COUNT = 40, 30, 3


def planted(seed: int = 0) -> Ratings:
    """Two kinds of users like two kinds of items and dislike the others; a sixth of the ratings says the opposite."""
    rng = np.random.default_rng(seed)
    user, item = (of.ravel() for of in np.meshgrid(np.arange(USERS), np.arange(ITEMS), indexing="ij"))
    kept = rng.random(len(user)) < 0.7
    user, item = user[kept], item[kept]
    value = np.where((user % 2 == item % 2) ^ (rng.random(len(user)) < 1 / 6), 2.0, -2.0).astype(np.float32)
    value[rng.random(len(user)) < 0.1] = 0.0
    return Ratings(user, item, value, rng.uniform(0, 1e6, len(user)), USERS, ITEMS)


def texts() -> Texts:
    kinds = attribute_rows([(f"kind {item % 2}",) for item in range(ITEMS)])
    return Texts(kinds, kinds)


@pytest.fixture(scope="module")
def judged() -> Judged:
    ratings = planted()
    fold = folds(ratings.user, COUNT)
    return judge(ratings, fold, [describe(ratings, fold, held, texts()) for held in held_out(COUNT)])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(2, 6))
def test_each_users_ratings_are_dealt_evenly(users, count):
    user = np.array(users)
    found = folds(user, count)
    for one in set(users):
        sizes = np.bincount(found[user == one], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    assert (folds(user, count) == found).all()


def test_factorization_finds_what_is_planted():
    rng = np.random.default_rng(1)
    taste, kind = rng.normal(size=(30, 2)), rng.normal(size=(25, 2))
    bias = rng.normal(size=30)
    user, item = (of.ravel() for of in np.meshgrid(np.arange(30), np.arange(25), indexing="ij"))
    value = (1.0 + bias[user] + (taste[user] * kind[item]).sum(axis=1)).astype(np.float32)
    held = rng.random(len(user)) < 0.2
    deep, flat = (
        factorize(user[~held], item[~held], value[~held], 30, 25, rank=rank, ridge=0.001).predict(
            user[held], item[held]
        )
        for rank in (2, 0)
    )
    error, flat_error = (float(np.sqrt(((found - value[held]) ** 2).mean())) for found in (deep, flat))
    assert error < 0.2 < flat_error


def test_factorization_gives_the_mean_where_nothing_is_known():
    found = factorize(np.array([0, 0]), np.array([0, 1]), np.array([1.0, 2.0], np.float32), 2, 3, rank=2, ridge=0.1)
    assert found.predict(np.array([1]), np.array([2]))[0] == pytest.approx(1.5, abs=0.05)


def test_features_do_not_read_the_asked_values():
    ratings = planted()
    fold = folds(ratings.user, COUNT)
    known, asked = ratings.only(fold != 0), ratings.only(fold == 0)
    turned = Ratings(asked.user, asked.item, -asked.value, asked.seconds, USERS, ITEMS)
    one, other = features(known, asked, texts()), features(known, turned, texts())
    assert one.keys() == other.keys()
    for name, column in one.items():
        assert column.shape == (len(asked),)
        assert np.isfinite(column).all(), name
        np.testing.assert_array_equal(column, other[name])


def test_moods_are_means_of_ratings_near_in_time():
    user, item = np.zeros(4, np.int64), np.arange(4)
    value = np.array([2, 2, -2, -2], np.float32)
    known = Ratings(user, item, value, np.array([0.0, 0.0, 5e6, 5e6]), 1, 5)
    asked = Ratings(np.zeros(2, np.int64), np.array([4, 4]), np.zeros(2, np.float32), np.array([0.0, 5e6]), 1, 5)
    found = features(known, asked, Texts(np.zeros((5, 1), np.float32), np.zeros((5, 1), np.float32)))
    early, late = found["mood_second"]
    assert early > 0 > late
    assert found["many_second"].tolist() == pytest.approx([np.log(3)] * 2)
    assert found["place"].tolist() == [0.0, 0.5]


def test_regression_finds_weights_and_its_ridge_shrinks_them():
    rng = np.random.default_rng(2)
    columns = {name: rng.normal(size=4000).astype(np.float32) for name in ("a", "b")}
    chance = 1 / (1 + np.exp(-(0.5 + 1.0 * columns["a"] - 2.0 * columns["a"] * columns["b"])))
    liked = (rng.random(4000) < chance).astype(np.float32)
    inputs = Inputs.of(columns, ("a", "b"), ("a", "b"))
    rows = inputs.rows(columns)
    weights = fit(rows, liked, 0.1)
    assert weights.tolist() == pytest.approx([0.5, 1.0, 0.0, 0.0, -2.0, 0.0], abs=0.25)
    assert np.abs(fit(rows, liked, 10_000.0)).max() < 0.2
    assert loss(probabilities(rows, weights), liked) < loss(np.full(4000, liked.mean(), np.float32), liked)


def test_every_like_and_dislike_is_predicted_once_from_other_folds(judged):
    ratings = planted()
    assert len(judged.liked) == int((ratings.value != 0).sum())
    assert all((chance > 0).all() and (chance < 1).all() for chance in judged.chance.values())
    assert set(judged.fold) == set(range(COUNT))


def test_classifier_finds_tastes_that_item_means_miss(judged):
    found = figures(judged)
    methods = found["methods"]
    assert methods["majority"]["balanced_accuracy"]["mean"] == 0.5
    assert methods["majority"]["auc"]["mean"] == 0.5
    assert methods["item_mean"]["accuracy"]["mean"] < 0.65
    assert methods[CLASSIFIER]["accuracy"]["mean"] > 0.7
    assert methods[CLASSIFIER]["auc"]["low"] > methods["item_mean"]["auc"]["high"]
    assert found["lead"]["accuracy"]["low"] <= found["lead"]["accuracy"]["mean"] <= found["lead"]["accuracy"]["high"]
    for figure in methods.values():
        assert figure.keys() == set(METRICS)
        for one in figure.values():
            assert one["low"] is None or one["low"] <= one["high"]


def test_shuffled_ratings_cannot_be_predicted():
    """What a fold says of itself must not reach its features."""
    ratings = planted()
    value = np.random.default_rng(3).permutation(ratings.value)
    noise = Ratings(ratings.user, ratings.item, value, ratings.seconds, USERS, ITEMS)
    fold = folds(noise.user, COUNT)
    found = figures(judge(noise, fold, [describe(noise, fold, held, texts()) for held in held_out(COUNT)]))
    assert found["methods"][CLASSIFIER]["auc"]["mean"] == pytest.approx(0.5, abs=0.06)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5]), st.booleans()), min_size=2, max_size=12))
def test_auc_counts_pairs(rows):
    chance, liked = np.array([row[0] for row in rows], np.float32), np.array([row[1] for row in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in chance[liked] for b in chance[~liked]]
    found = auc(chance, liked)
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_calibration_error_is_the_distance_of_chance_and_share():
    liked = np.arange(300) % 4 == 0
    assert calibration_error(np.full(300, 0.25, np.float32), liked) == pytest.approx(0.0, abs=0.01)
    assert calibration_error(np.full(300, 0.75, np.float32), liked) == pytest.approx(0.5, abs=0.01)
