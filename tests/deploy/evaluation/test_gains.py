"""`python -m tests.benchmarks.gains`: the parts of a scorer, and the paired gain of each."""

import numpy as np
import pytest

from inference.training.learner import WIDTH
from inference.training.walk_forward import Readings
from tests.benchmarks.gains import BOTH, NONE, TEXTS, TOWER, lines, part


def test_scores_of_the_parts_sum_to_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    contexts = random.normal(size=(5, 9 + WIDTH)).astype(np.float16)
    vectors, known = random.normal(size=(7, 9 + WIDTH)).astype(np.float32), np.ones(7, np.bool_)
    whole = Readings(contexts, np.zeros(5, np.int16), [vectors], [known])
    texts, tower = part(whole, slice(0, -WIDTH)), part(whole, slice(-WIDTH, None))
    assert tower.vectors[0].shape == (7, WIDTH)
    for event in range(5):
        scores = [each.scores(event) for each in (texts, tower, whole)]
        assert scores[0] + scores[1] == pytest.approx(scores[2], abs=1e-4)  # type: ignore[operator]


def test_gain_is_that_of_the_hits_on_the_same_tests() -> None:
    users = np.repeat(np.arange(10), 4)
    missed, first = np.full(40, -1), np.zeros(40, np.int64)
    said = lines({NONE: missed, TEXTS: missed, TOWER: first, BOTH: np.where(users < 5, first, 10)}, users)
    assert said[0] == "40 tests"
    assert any(line.startswith(f"HR@10: {NONE} -> {TOWER}: +1.0000 (") for line in said)
    assert any(line.startswith(f"NDCG@10: {NONE} -> {TEXTS}: +0.0000 (") for line in said)
    assert any(line.startswith(f"HR@10: {TOWER} -> {BOTH}: -0.5000 (-0.8") for line in said)
