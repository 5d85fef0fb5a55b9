"""Training lists: their content, and that the correction learns from them."""

import numpy as np
import torch

from inference.training.lists import ListRecipe, ListTrainer, draw
from inference.training.validation import answers, baselines, best, new_likes, reranked, retrieved, scored
from tests.support import training_world as world

RECIPE = ListRecipe(count=64, hard=6, random=3, pool=8, head_rate=5e-3, lora_rate=1e-4)
KNOWN = np.arange(24) != 5


def test_training_list_starts_with_the_target_and_has_no_seen_items() -> None:
    histories, network = world.histories(), world.network()
    asked = new_likes(histories, 0, len(histories))
    asked = asked[KNOWN[histories.item[asked]]]
    said = answers(network, KNOWN, histories, asked)
    places, lists = draw(scored(said, histories, asked), histories, KNOWN, RECIPE, np.random.default_rng(0))
    assert sorted(places.tolist()) == asked.tolist()
    ranks = dict(zip(asked.tolist(), best(said, histories, asked, 24), strict=True))
    for place, some in zip(places.tolist(), lists, strict=True):
        sequence = histories.sequences[int(histories.history[place])]
        met = set(histories.item[sequence[sequence < place]].tolist())
        assert some[0] == histories.item[place]
        assert len(set(some.tolist())) == len(some) == 10
        assert not met & set(some.tolist())
        assert KNOWN[some].all()
        others = [number for number in ranks[place].tolist() if number != some[0] and KNOWN[number]]
        assert set(some[1:7].tolist()) <= set(others[:8])
        assert set(some[7:].tolist()) <= set(others[8:])


def test_correction_starts_at_zero_and_learns() -> None:
    histories, network = world.histories(40), world.network()
    known = histories.met(len(histories))
    asked = new_likes(histories, 120, len(histories))
    said = answers(network, known, histories, asked)
    lists = best(said, histories, asked, 24)
    assert reranked(network, known, histories, asked, lists).tolist() == retrieved(said, histories, asked).tolist()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    trainer = ListTrainer(network, histories, RECIPE, 0)
    losses = [trainer.learn(len(histories), known) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.05
    moved = {name for name, value in network.module.state_dict().items() if not torch.equal(value, before[name])}
    assert {"heads.candidate", "heads.correct.weight"} <= moved
    assert all(name.startswith(("heads.candidate", "heads.correct", "lora.", "lists.")) for name in moved)
    assert "heads.correct.bias" not in moved


def test_empty_batch_has_no_loss() -> None:
    histories = world.histories(4)
    assert ListTrainer(world.network(), histories, RECIPE, 0).learn(0, KNOWN) == 0.0


def test_baselines_are_scored_on_the_same_tests() -> None:
    histories = world.histories(60)
    asked = new_likes(histories, 240, len(histories))
    found = baselines(histories, asked)
    assert {name: one.tests for name, one in found.items()} == {"popularity": len(asked), "item_knn": len(asked)}
    assert found["item_knn"].ndcg > found["popularity"].ndcg  # users share shelves, not single items
    assert baselines(histories, asked[:0])["item_knn"].tests == 0


def test_validation_tests_are_likes_of_new_items() -> None:
    histories = world.histories(10)
    asked = new_likes(histories, 12, 36)
    assert (histories.feeling[asked] > 0).all()
    assert asked.min() >= 12
    assert asked.max() < 36
    assert len(asked) == 20
