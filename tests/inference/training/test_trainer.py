"""What a training in sequence promises, on a tiny model in seconds."""

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


def test_the_loss_falls_and_the_shelf_is_found() -> None:
    histories = world.histories(60)
    cut = 300
    trainer = Trainer(world.network(), histories, QUICK, 0)
    losses = [trainer.learn(cut, rate=falling(QUICK, epoch, 8)) for epoch in range(8)]
    assert losses[-1] < losses[0] - 0.5
    asked = new_likes(histories, cut, len(histories))
    found = figures(retrieved(answers(trainer.network, trainer.known, histories, asked), histories, asked))
    assert found.hr > 0.6  # ten of 24 by chance: 0.42 or a little more, since what is met is out
    assert found.ndcg > 0.35


def test_items_that_nobody_met_are_ranked_by_their_text() -> None:
    """Without the events of one book a shelf: the unseen book of the own shelf comes before those of the others."""
    everything = world.events(80)
    unseen = {f"{shelf}-5" for shelf in world.SHELVES}
    histories = Histories.of([event for event in everything if event.item not in unseen], world.ITEMS, world.feeling)
    trainer = Trainer(world.network(), histories, QUICK, 0)
    for epoch in range(14):
        trainer.learn(len(histories), rate=falling(QUICK, epoch, 14))
    numbers = [world.ITEMS.index(name) for name in sorted(unseen)]
    assert not trainer.known[numbers].any()
    right = 0
    people = histories.people[:40]
    last = np.array([person[-1] for person in people])
    said = answers(trainer.network, trainer.known, histories, last)
    for person in people:
        scores = said.vectors[0][numbers] @ said.contexts[person[-1]].astype(np.float32)
        own = world.ITEMS[histories.item[person[0]]].rpartition("-")[0]
        right += sorted(unseen)[int(scores.argmax())] == f"{own}-5"
    assert right > 0.6 * len(people)  # a quarter by chance


def test_dropout_reaches_into_the_layers_in_training_alone() -> None:
    network = world.network(dropout=0.5)
    embedded = torch.randn(1, 4, network.heads.shape.hidden, generator=torch.Generator().manual_seed(0))
    network.module.train()
    assert not torch.equal(network.states(embedded), network.states(embedded))
    network.module.eval()
    assert torch.equal(network.states(embedded), network.states(embedded))


def test_a_sampled_softmax_is_the_full_one_in_expectation() -> None:
    histories = world.histories()
    network = world.network()
    piece = batch(histories, [Piece(histories.people[0], histories.people[0][:0])], 1.0)
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


def test_what_nobody_met_yet_takes_no_part() -> None:
    """That nobody took an item that was not there says nothing about it."""
    histories = world.histories()
    piece = batch(histories, [Piece(histories.people[0], histories.people[0][:0])], 1.0)
    strange = next(number for number in range(24) if number not in histories.item[histories.people[0]])
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


def test_the_older_part_is_learned_again_in_the_asked_share() -> None:
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


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    network = world.network()
    with torch.no_grad():
        network.heads.project.weight[0, 0] = torch.nan
    with pytest.raises(TrainingDiverged, match="lower rates"):
        Trainer(network, world.histories(), QUICK, 0).learn(60)


def test_nothing_to_learn_is_no_loss() -> None:
    assert Trainer(world.network(), world.histories(), QUICK, 0).learn(0) == 0.0


def test_sasrec_learns_by_the_same_trainer() -> None:
    histories = world.histories(60)
    torch.manual_seed(0)
    trainer = Trainer(SasRecNetwork(SasRec(24, 16, length=51)), histories, Recipe(batch=8), 0)
    losses = [trainer.learn(len(histories)) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.2


def test_the_tower_learns_by_itself_and_what_it_says_is_added() -> None:
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


def test_what_reads_is_the_running_mean_and_training_goes_on_from_the_last() -> None:
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


def test_without_an_average_the_last_weights_read() -> None:
    network = world.network()
    trainer = Trainer(network, world.histories(), Recipe(batch=8, average=0.0), 0)
    trainer.learn(60)
    before = network.heads.project.weight.detach().clone()
    with trainer.averaged():
        assert torch.equal(network.heads.project.weight, before)


def test_rates_rise_and_fall() -> None:
    recipe = Recipe(warm_up=0.1, end_rate=0.2)
    rates = [falling(recipe, epoch, 10)(done) for epoch in range(10) for done in (0.0, 0.5)]
    assert rates[0] < 0.2
    assert max(rates) > 0.85
    assert falling(recipe, 9, 10)(1.0) == pytest.approx(0.2)
