"""A model trained along a stream never sees the future: later training changes no earlier scores."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from inference.evaluation.sasrec import SasRec
from inference.training.id_networks import SasRecNetwork
from inference.training.network import ItemTokenNetwork, Network
from inference.training.trainer import Recipe
from inference.training.walk_forward import Lesson, Pace, Readings, walk
from tests.support import training_world as world

PACE = Pace(first=2, fresh=1, again=1.0)
STREAM = world.histories(20)


def scorer() -> ItemTokenNetwork:
    return world.network(residuals=True)


def sasrec() -> SasRecNetwork:
    torch.manual_seed(0)
    return SasRecNetwork(SasRec(24, 16, length=51))


def lessons(network: Network) -> list[Lesson]:
    parts = [network]
    if isinstance(network, ItemTokenNetwork):
        assert network.tower is not None
        parts = [network.text, network.tower]
    return [Lesson(part, Recipe(batch=8), PACE, epochs=2) for part in parts]


def read(make: Callable[[], Network], cuts: list[int]) -> Readings:
    network = make()
    return walk(network, lessons(network), [STREAM], cuts)[0]


@pytest.mark.parametrize("make", [scorer, sasrec])
def test_later_training_changes_no_earlier_scores(make: Callable[[], Network]) -> None:
    once, twice = read(make, [60]), read(make, [60, 90])
    assert len(once.vectors) == 1
    assert len(twice.vectors) == 2
    assert np.array_equal(once.vectors[0], twice.vectors[0])
    assert np.array_equal(once.contexts[60:90], twice.contexts[60:90])
    assert not np.allclose(twice.vectors[0], twice.vectors[1])


@pytest.mark.parametrize("make", [scorer, sasrec])
def test_walk_forward_abstains_before_the_first_training(make: Callable[[], Network]) -> None:
    found = read(make, [60])
    assert found.scores(59) is None
    scores = found.scores(60)
    assert scores is not None
    assert scores.shape == (24,)
    assert not found.unseen(60)[STREAM.item[:60]].any()
