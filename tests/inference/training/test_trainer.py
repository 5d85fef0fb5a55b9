"""Training in sequence, on a tiny model."""

import math

import numpy as np
import pytest
import torch

from inference.errors import TrainingDiverged
from inference.evaluation.sasrec import SasRec
from inference.training.histories import Histories
from inference.training.id_networks import SasRecNetwork
from inference.training.sequences import Piece, batch
from inference.training.trainer import Recipe, Trainer, falling
from inference.training.validation import answers, figures, new_likes, retrieved
from tests.support import training_world as world

QUICK = Recipe(head_rate=5e-3, lora_rate=1e-3, batch=8)


def test_training_lowers_the_loss_and_ranks_the_right_shelf_first() -> None:
    histories = world.histories(60)
    cut = 300
    trainer = Trainer(world.network(), histories, QUICK, 0)
    losses = [trainer.learn(cut, rate=falling(QUICK, epoch, 8)) for epoch in range(8)]
    assert losses[-1] < losses[0] - 0.5
    asked = new_likes(histories, cut, len(histories))
    found = figures(retrieved(answers(trainer.network, trainer.known, histories, asked), histories, asked))
    assert found.hr > 0.6  # chance is ten of 24, 0.42, or slightly more, since seen items are left out
    assert found.ndcg > 0.35


def test_unseen_items_are_ranked_by_their_text() -> None:
    """Without events of one book per shelf, the unseen book of the user's shelf ranks above those of other shelves."""
    everything = world.events(80)
    unseen = {f"{shelf}-5" for shelf in world.SHELVES}
    histories = Histories.of([event for event in everything if event.item not in unseen], world.ITEMS, world.feeling)
    trainer = Trainer(world.network(), histories, QUICK, 0)
    for epoch in range(14):
        trainer.learn(len(histories), rate=falling(QUICK, epoch, 14))
    numbers = [world.ITEMS.index(name) for name in sorted(unseen)]
    assert not trainer.known[numbers].any()
    right = 0
    users = histories.sequences[:40]
    last = np.array([sequence[-1] for sequence in users])
    said = answers(trainer.network, trainer.known, histories, last)
    for sequence in users:
        scores = said.vectors[0][numbers] @ said.contexts[sequence[-1]].astype(np.float32)
        own = world.ITEMS[histories.item[sequence[0]]].rpartition("-")[0]
        right += sorted(unseen)[int(scores.argmax())] == f"{own}-5"
    assert right > 0.6 * len(users)  # a quarter by chance


def test_dropout_is_active_only_in_training() -> None:
    network = world.network(dropout=0.5)
    embedded = torch.randn(1, 4, network.heads.shape.hidden, generator=torch.Generator().manual_seed(0))
    network.module.train()
    assert not torch.equal(network.states(embedded), network.states(embedded))
    network.module.eval()
    assert torch.equal(network.states(embedded), network.states(embedded))


def test_sampled_softmax_is_the_full_one_in_expectation() -> None:
    histories = world.histories()
    network = world.network()
    piece = batch(histories, [Piece(histories.sequences[0], histories.sequences[0][:0])], 1.0)
    one_target = torch.zeros_like(piece.weights)
    one_target[0, 3] = 1.0
    given = type(piece)(piece.items, piece.feelings, piece.gaps, one_target, piece.met)
    full = Trainer(network, histories, QUICK, 0)
    few = Trainer(network, histories, Recipe(full_softmax=2, sampled=8), 0)
    full.known[:] = few.known[:] = True
    network.module.eval()
    with torch.no_grad():
        expected = math.exp(float(full.loss(given)))
        drawn = [math.exp(float(few.loss(given))) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(expected, rel=4 * float(np.std(drawn)) / math.sqrt(len(drawn)) / expected)
    assert np.std(drawn) > 0


def test_items_not_yet_seen_by_any_user_are_no_negatives() -> None:
    """An item that was not available yet is no negative."""
    histories = world.histories()
    piece = batch(histories, [Piece(histories.sequences[0], histories.sequences[0][:0])], 1.0)
    strange = next(number for number in range(24) if number not in histories.item[histories.sequences[0]])
    for met in (True, False):
        network = world.network(residuals=True)
        trainer = Trainer(network, histories, QUICK, 0)
        trainer.known[:] = True
        trainer.known[strange] = met
        network.module.eval()
        trainer.loss(piece).backward()
        assert network.residuals is not None
        assert network.residuals.output.weight.grad is not None
        assert bool(network.residuals.output.weight.grad[strange + 1].any()) is met


def test_older_events_are_replayed_in_the_given_share() -> None:
    histories = world.histories(60)
    trainer = Trainer(world.network(), histories, QUICK, 0)
    batches = {}
    for again in (0.0, 0.5, 1.0):
        totals: list[int] = []
        trainer.learn(
            len(histories), since=300, again=again, report=lambda done, total, loss, totals=totals: totals.append(total)
        )
        batches[again] = totals[0]
    assert batches[0.0] < batches[0.5] < batches[1.0]


def test_non_finite_loss_stops_the_training() -> None:
    network = world.network()
    with torch.no_grad():
        network.heads.project.weight[0, 0] = torch.nan
    with pytest.raises(TrainingDiverged, match="lower rates"):
        Trainer(network, world.histories(), QUICK, 0).learn(60)


def test_empty_batch_has_no_loss() -> None:
    assert Trainer(world.network(), world.histories(), QUICK, 0).learn(0) == 0.0


def test_sasrec_learns_with_the_same_trainer() -> None:
    histories = world.histories(60)
    torch.manual_seed(0)
    trainer = Trainer(SasRecNetwork(SasRec(24, 16, length=51)), histories, Recipe(batch=8), 0)
    losses = [trainer.learn(len(histories)) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.2


def test_tower_is_trained_separately_and_its_output_is_added() -> None:
    histories = world.histories(60)
    network = world.network(residuals=True)
    assert network.tower is not None
    before = {name: value.clone() for name, value in network.module.state_dict().items() if "tower" not in name}
    trainer = Trainer(network.tower, histories, Recipe(batch=8, head_rate=0.01), 0)
    losses = [trainer.learn(len(histories)) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.2
    after = network.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())

    network.module.eval()
    known = torch.from_numpy(np.arange(24) != 7)
    items, feelings, gaps = torch.tensor([[3, 7, 9]]), torch.tensor([[4, 2, 0]]), torch.tensor([[11, 3, 3]])
    with torch.inference_mode():
        whole, text, tower = (
            part.contexts(items, feelings, gaps) @ part.vectors(known).T
            for part in (network, network.text, network.tower)
        )
        unknown = network.tower.vectors(known)[7]
    assert torch.allclose(whole, text + tower, atol=1e-4)
    assert torch.equal(unknown, network.residuals.tower.item.weight[0])  # type: ignore[union-attr]


def test_running_mean_is_served_and_training_resumes_from_the_last_weights() -> None:
    histories = world.histories(60)
    recipe = Recipe(batch=8, average=0.3)
    network = world.network()
    trainer = Trainer(network, histories, recipe, 0)
    watched = network.heads.project.weight
    steps: list[torch.Tensor] = []
    trainer.learn(len(histories), report=lambda done, total, loss: steps.append(watched.detach().clone()))
    mean = steps[0]
    for number, step in enumerate(steps[1:], 2):
        mean = mean.lerp(step, 1.0 - min(0.3, (1 + number) / (10 + number)))
    with trainer.averaged():
        assert torch.allclose(watched, mean, atol=1e-6)
        assert not torch.allclose(watched, steps[-1], atol=1e-6)
    assert torch.equal(watched, steps[-1])


def test_last_weights_are_served_without_averaging() -> None:
    network = world.network()
    trainer = Trainer(network, world.histories(), Recipe(batch=8, average=0.0), 0)
    trainer.learn(60)
    before = network.heads.project.weight.detach().clone()
    with trainer.averaged():
        assert torch.equal(network.heads.project.weight, before)


def test_learning_rates_rise_and_fall() -> None:
    recipe = Recipe(warm_up=0.1, end_rate=0.2)
    rates = [falling(recipe, epoch, 10)(done) for epoch in range(10) for done in (0.0, 0.5)]
    assert rates[0] < 0.2
    assert max(rates) > 0.85
    assert falling(recipe, 9, 10)(1.0) == pytest.approx(0.2)
