"""How models rank held-out likes, and how much the likes surprise them."""

import numpy as np
import pytest
import torch

from inference.training.held_out import judge, surprise
from inference.training.validation import answers, new_likes
from tests.support import training_world as world


def test_judged_scores_give_the_ranks() -> None:
    histories = world.histories(20)
    tests = new_likes(histories, 60, len(histories))
    known = histories.met(len(histories))
    found = judge(world.network(), known, histories, tests)
    for at, place in enumerate(tests.tolist()):
        scores = found.scores(at).copy()
        sequence = histories.sequences[histories.history[place]]
        scores[histories.item[sequence[sequence < place]]] = -np.inf
        assert found.ranks[at] == (scores > scores[histories.item[place]]).sum()
    assert found.figures.tests == len(tests)


def test_surprise_is_the_cross_entropy_over_items_not_met() -> None:
    histories = world.histories(20)
    tests = new_likes(histories, 60, len(histories))
    known = histories.met(60)
    said = answers(world.network(), known, histories, tests)
    losses = []
    for place in tests.tolist():
        logits = torch.from_numpy(said.vectors[-1] @ said.contexts[place].astype(np.float32))
        sequence = histories.sequences[histories.history[place]]
        logits[torch.from_numpy(histories.item[sequence[sequence < place]])] = -torch.inf
        logits[torch.from_numpy(~known)] = -torch.inf
        if known[histories.item[place]]:
            losses.append(float(-torch.log_softmax(logits, 0)[histories.item[place]]))
    assert surprise(said, histories, tests) == pytest.approx(np.mean(losses), rel=1e-4)


def test_surprise_without_known_likes_is_zero() -> None:
    histories = world.histories(20)
    tests = new_likes(histories, 60, len(histories))
    said = answers(world.network(), np.zeros(len(world.ITEMS), np.bool_), histories, tests)
    assert surprise(said, histories, tests) == 0.0
