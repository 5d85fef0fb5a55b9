"""Training lists: their content, and that the correction learns from them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.training.feedback import Untaken
from inference.training.histories import Histories, owners
from inference.training.impressions import NO_HISTORY, NO_IMPRESSIONS, Impressions
from inference.training.lists import ListRecipe, ListTrainer, draw
from inference.training.packed import gather
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


def untaken(user: str, items: tuple[str, ...], at: int, weights: tuple[float, ...] = ()) -> Untaken:
    """Shown half a minute before the event at place `at`, and closed a minute later."""
    shown = world.BEGIN + world.MINUTE * at - world.MINUTE // 2
    return Untaken(user, "default", shown, shown + world.MINUTE, items, weights or (1.0,) * len(items))


def test_impressions_have_the_context_of_their_user_and_are_unknown_until_they_close() -> None:
    events, histories = world.events(10), world.histories(10)
    shown = [untaken("p1", ("war-0", "gone"), 9), untaken("stranger", ("love-1",), 12), untaken("p0", ("gone",), 3)]
    found = Impressions.of(shown, histories, owners(events))
    assert found.history.tolist() == [1, NO_HISTORY]
    assert found.place.tolist() == [9, 12]
    assert [items.tolist() for items in found.items] == [[world.ITEMS.index("war-0")], [world.ITEMS.index("love-1")]]
    given = gather(histories, found.place, list(found.items), found.history)
    assert given.lengths.tolist() == [3, 0]
    assert given.items[0].tolist() == histories.item[6:9].tolist()
    closes = world.BEGIN + world.MINUTE * 9 + world.MINUTE // 2
    assert found.between(0, closes).tolist() == [0]
    assert found.between(0, closes - 1).tolist() == []
    assert len(NO_IMPRESSIONS.between(0, closes)) == 0
    assert found.digest() != NO_IMPRESSIONS.digest()


def scores_of(trainer: ListTrainer, histories: Histories, shown: Impressions) -> NDArray[np.float32]:
    """The score of every item in the context of each list, less the mean of its row."""
    network = trainer.network
    network.module.eval()
    everything = [np.arange(len(world.ITEMS))] * len(shown)
    given = gather(histories, shown.place, everything, shown.history)
    with torch.inference_mode():
        logits, corrections = network.packed(given, torch.ones(24, dtype=torch.bool))
    scores = (logits + corrections).numpy()
    return np.asarray(scores - scores.mean(1, keepdims=True))


def test_item_that_is_shown_and_not_taken_scores_lower_than_without() -> None:
    events, histories = world.events(40), world.histories(40)
    known, item = histories.met(len(histories)), world.ITEMS.index("trains-3")
    shown = [untaken(f"p{user}", ("trains-3",), 6 * user + 5) for user in range(39)]
    impressions = Impressions.of(shown, histories, owners(events))
    after = {}
    for name, seen in (("without", NO_IMPRESSIONS), ("with", impressions)):
        trainer = ListTrainer(world.network(), histories, RECIPE, 0, seen)
        for _ in range(4):
            trainer.learn(len(histories), known)
        after[name] = scores_of(trainer, histories, impressions)[:, item]
    assert after["with"].mean() < after["without"].mean() - 0.1
    assert (after["with"] < after["without"]).mean() > 0.9


def test_entries_count_by_their_weights() -> None:
    events, histories = world.events(10), world.histories(10)
    known = torch.ones(24, dtype=torch.bool)
    losses = []
    for weights in ((1.0, 1.0), (10.0, 1.0), (1.0, 10.0)):
        shown = Impressions.of([untaken("p1", ("war-0", "love-0"), 9, weights)], histories, owners(events))
        trainer = ListTrainer(world.network(), histories, RECIPE, 0, shown)
        trainer.network.module.eval()
        losses.append(float(trainer.untaken_loss(np.array([0]), known).detach()))
    even, first, second = losses
    assert first != second
    assert first + second == pytest.approx(2 * even, abs=1e-4)


def test_lists_that_close_after_the_cut_change_nothing() -> None:
    events, histories = world.events(20), world.histories(20)
    known, cut = histories.met(60), 60
    late = Impressions.of([untaken("p9", ("war-0",), cut)], histories, owners(events))
    weights = []
    for seen in (NO_IMPRESSIONS, late):
        trainer = ListTrainer(world.network(), histories, RECIPE, 0, seen)
        trainer.learn(cut, known)
        weights.append({name: value.clone() for name, value in trainer.network.module.state_dict().items()})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
