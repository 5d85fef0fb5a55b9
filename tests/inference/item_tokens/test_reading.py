"""Readings of item texts, on a tiny random model in fp32."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import WeightsError
from inference.item_tokens import reading
from inference.item_tokens.reading import MAX_TOKENS, Reader, compose
from tests.support import tiny_model as tiny

texts = st.lists(st.text(max_size=20), min_size=1, max_size=8)


def reader(depths: tuple[int, ...] = (1, 2), base: str = "tiny-1") -> Reader:
    return Reader(tiny.model().model, tiny.ByteTokens(), base, depths)


@settings(max_examples=25, deadline=None)
@given(texts)
def test_readings_are_independent_of_each_other(asked: list[str]) -> None:
    shared = reader()
    alone = torch.cat([shared.read([text]) for text in asked])
    assert shared.read(asked).shape == (len(asked), 2, 32)
    assert torch.allclose(shared.read(asked), alone, atol=1e-4)


def test_reading_is_the_mean_of_the_states_after_its_layers() -> None:
    """Compared with transformers' own pass and attention."""
    model = tiny.model()
    model.config._attn_implementation = "sdpa"
    ids = torch.tensor([[3 + ord(character) for character in "\nHeat"]])
    with torch.inference_mode():
        # The last state includes the final norm, so only lower layers are compared.
        expected = model.model(input_ids=ids, output_hidden_states=True).hidden_states[1][0, 1:].mean(0)
    assert torch.allclose(reader((1,)).read(["Heat"])[0, 0], expected, atol=1e-5)


def test_many_texts_take_several_passes_and_the_same_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["x" * length for length in (3, 30, 1, 12, 7, 7)]
    whole = reader().read(asked)
    monkeypatch.setattr(reading, "_PASS_TOKENS", 10)
    seen: list[tuple[int, int]] = []
    assert torch.allclose(reader().read(asked, lambda *step: seen.append(step)), whole, atol=1e-4)
    assert len(seen) > 3
    assert seen[-1] == (6, 6)


@settings(deadline=None)
@given(st.text(max_size=1_000))
def test_text_has_at_least_one_token_and_is_cut(text: str) -> None:
    tokens = reader().tokens(text)
    assert 2 <= len(tokens) <= 1 + MAX_TOKENS
    assert 1 not in tokens[1:]


def test_item_text_has_title_and_description() -> None:
    assert compose("Heat (1995)", "Action, Crime") == "Heat (1995). Action, Crime"
    assert compose("Heat (1995)", "") == "Heat (1995)"


@pytest.mark.parametrize("depths", [(), (0, 1)])
def test_invalid_depths_are_refused(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="name layers from 1 on"):
        reader(depths)


def test_model_with_fewer_layers_is_refused() -> None:
    with pytest.raises(WeightsError, match="needs 3 layers, but the language model has 2"):
        reader((1, 3))


def test_yielding_pass_is_sized_by_the_time_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow layers shrink passes; fast ones grow them, at most by doubling."""
    made, asked = reader(), ["x" * 15] * 200
    clock = Clock()
    monkeypatch.setattr(reading, "time", clock)
    sizes = []
    for seconds in [1e-4] * 5 + [0.2] * 3:
        clock.step = seconds
        places, _ = next(made.passes(asked, lambda: None))
        sizes.append(len(places))
    assert sizes == [4, 8, 16, 32, 32, 32, 6, 2]
    assert len(next(made.passes(asked))[0]) == 32


class Clock:
    """A clock that advances when read."""

    step = now = 0.0

    def perf_counter(self) -> float:
        self.now += self.step
        return self.now


def test_texts_read_during_a_pause_change_nothing() -> None:
    made, asked = reader(), ["Heat", "Alien", "Fargo"]
    expected, other = made.read(asked), made.read(["Jaws"])
    within = []
    found = torch.empty_like(expected)
    for places, readings in made.passes(asked, lambda: within.append(made.read(["Jaws"]))):
        found[places] = readings
    assert torch.equal(found, expected)
    assert len(within) == 2
    assert all(torch.equal(one, other) for one in within)


def test_error_raised_in_a_pause_ends_the_pass_without_side_effects() -> None:
    made = reader()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(made.passes(["Heat"], stop))
    assert not any(layer._forward_hooks for layer in made.trunk.layers)
