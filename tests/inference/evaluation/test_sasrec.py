"""SASRec attends to earlier items only, and learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from inference.evaluation.sasrec import LigrBlock, SasRec
from inference.item_tokens.tower import Block


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are too small to gain from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


BLOCKS = [Block, LigrBlock]


def tiny(block: type[Block] = Block) -> SasRec:
    torch.manual_seed(0)
    return SasRec(12, width=16, layers=2, heads=2, length=8, dropout=0.0, block=block).eval()


@pytest.mark.parametrize("block", BLOCKS)
@settings(max_examples=25)
@given(st.lists(st.integers(0, 11), min_size=2, max_size=8), st.data())
def test_sasrec_state_ignores_later_positions(block, items, data):
    model = tiny(block)
    at = data.draw(st.integers(0, len(items) - 2))
    other = [*items[: at + 1], *((item + 1) % 12 for item in items[at + 1 :])]
    with torch.no_grad():
        torch.testing.assert_close(model(torch.tensor([items]))[0, : at + 1], model(torch.tensor([other]))[0, : at + 1])


@pytest.mark.parametrize("block", BLOCKS)
@settings(max_examples=25)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=5))
def test_left_padding_changes_nothing_and_gives_finite_numbers(block, items):
    model = tiny(block)
    padded = [model.padding] * (8 - len(items)) + items
    with torch.no_grad():
        alone, beside = model(torch.tensor([items])), model(torch.tensor([padded]))
    assert beside.isfinite().all()
    torch.testing.assert_close(alone[0], beside[0, -len(items) :])


def test_sasrec_scores_items_only_and_refuses_long_input():
    model = tiny()
    states = model(torch.tensor([[1, 2, 3]]))
    assert model.logits(states).shape == (1, 3, 12)
    with pytest.raises(ValueError, match="positions"):
        model(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match="multiple"):
        SasRec(12, width=15)


def test_shut_gates_of_a_ligr_layer_let_nothing_through():
    """What a layer adds is multiplied by its gates, whatever attention and SwiGLU say."""
    torch.manual_seed(0)
    layer, states = LigrBlock(16, 2, 0.0).eval(), torch.randn(2, 5, 16)
    with torch.no_grad():
        assert not torch.allclose(layer(states), states)
        for gate in (layer.attention_gate, layer.inner_gate):
            gate.weight.zero_()
            gate.bias.fill_(-100.0)
        torch.testing.assert_close(layer(states), states)


@pytest.mark.parametrize("block", BLOCKS)
def test_sasrec_learns_a_second_order_dependency(block):
    """The next item is the second-last plus one: the last item alone does not determine it."""
    torch.manual_seed(0)
    model = SasRec(10, width=32, layers=2, heads=2, length=8, block=block)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def sequences(count: int) -> torch.Tensor:
        rows = torch.randint(0, 10, (count, 9))
        for at in range(2, 9):
            rows[:, at] = (rows[:, at - 2] + 1) % 10
        return rows

    for _ in range(120):
        rows = sequences(64)
        logits = model.logits(model(rows[:, :-1]))[:, 1:]
        loss = cross_entropy(logits.reshape(-1, 10), rows[:, 2:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    rows = sequences(200)
    with torch.no_grad():
        guessed = model.logits(model(rows[:, :-1]))[:, -1].argmax(-1)
    assert (guessed == rows[:, -1]).float().mean() > 0.9
