"""Quantized layers: their arithmetic, and which layers stay unquantized."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference.errors import SettingsError
from inference.settings import Quantization
from inference.transformer.quantization import (
    FORMS,
    Int8DynamicLinear,
    Int8Linear,
    exact_weights,
    harms,
    quantize,
    size,
)
from inference.wire import Answered
from tests.support import tiny_model as tiny

ALL = sorted(FORMS)


def layer(inputs: int, outputs: int, seed: int, *, bias: bool = False) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs, bias=bias)


class Stack(nn.Module):
    """Two layers of a decoder; the input of `down` has one number a thousand times larger than the others."""

    def __init__(self, outlier: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleDict({"up": layer(16, 32, 1), "down": layer(32, 16, 2)})])
        self.lm_head = layer(16, 8, 3)
        self.outlier = outlier

    def part(self, name: str) -> nn.Module:
        return self.get_submodule(f"layers.0.{name}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = torch.tanh(self.part("up")(x))
        middle = torch.cat((middle[:1] * self.outlier, middle[1:]))
        return self.lm_head(self.part("down")(middle))


@torch.no_grad()
def sample(stack: nn.Module) -> torch.Tensor:
    return stack(torch.randn(9, 16, generator=torch.Generator().manual_seed(5)))


def slack(kind: Quantization, rows: torch.Tensor, steps: float = 127.0) -> torch.Tensor:
    """The maximum error of each number: half of `steps` steps of its row; in float8, a 16th of the number or half the
    smallest step."""
    greatest = rows.abs().amax(-1, keepdim=True)
    if kind is Quantization.FP8:
        return rows.abs() / 16 + greatest / 448 * 2.0**-10
    return (greatest / (2 * steps)).expand_as(rows)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 999), st.booleans())
def test_quantized_layer_is_off_by_its_rounding_at_most(
    kind: Quantization, sizes: tuple[int, int, int], seed: int, bias: bool
) -> None:
    rows, inputs, outputs = sizes
    exact = layer(16 * inputs, 16 * outputs, seed, bias=bias)
    x = torch.randn(1, 3 * rows, 16 * inputs, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        got, wanted = FORMS[kind](exact)(x), exact(x)
        # In a product (x + dx)(w + dw), everything but x w is error.
        about_w = slack(kind, exact.weight, exact_weights() if kind is Quantization.INT8_DYNAMIC else 127.0)
        about_x = torch.zeros_like(x) if kind is Quantization.INT8 else slack(kind, x)
        bound = x.abs() @ about_w.t() + about_x @ (exact.weight.abs() + about_w).t()
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    assert ((got - wanted).abs() <= bound + 1e-5).all()


@pytest.mark.parametrize("rows", [1, 17, 101])
def test_integers_are_accumulated_exactly(rows: int) -> None:
    """On AVX2 without VNNI, 8-bit weights would saturate, most of all if all are at their maximum."""
    exact = layer(576, 192, 1)
    with torch.no_grad():
        exact.weight.fill_(0.5)
        x = torch.full((rows, 576), 2.0)
        assert Int8DynamicLinear(exact)(x) == pytest.approx(exact(x), rel=1e-5)
    assert exact_weights() in {63.0, 127.0}


@pytest.mark.parametrize("rows", [1, 12, 13, 40])
def test_int8_weights_are_the_same_for_few_rows_and_many(rows: int) -> None:
    """bf16 has two implementations, chosen by the number of rows."""
    exact = layer(64, 48, 1).bfloat16()
    x = torch.randn(rows, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    narrow = Int8Linear(exact)
    wanted = x.float() @ (narrow.weight.float() * narrow.scale.unsqueeze(1)).t()
    assert narrow(x).float() == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("kind", ALL)
def test_layer_with_huge_activations_is_not_quantized(kind: Quantization) -> None:
    stack = Stack(outlier=5_000.0)
    before = {name: weight.clone() for name, weight in stack.named_parameters()}
    kept = quantize(stack, kind, lambda: sample(stack))
    assert list(kept) == ["layers.0.down"]
    assert kept["layers.0.down"] > 10
    assert torch.equal(stack.get_parameter("layers.0.down.weight"), before["layers.0.down.weight"])
    assert isinstance(stack.part("up"), FORMS[kind])
    assert type(stack.lm_head) is nn.Linear


@pytest.mark.parametrize("kind", ALL)
def test_layer_with_usual_activations_is_quantized(kind: Quantization) -> None:
    stack = Stack(outlier=1.0)
    wanted = sample(stack)
    assert quantize(stack, kind, lambda: sample(stack)) == {}
    assert 0 < float((sample(stack) - wanted).norm() / wanted.norm()) < 0.1


def test_quantization_error_grows_with_outliers_and_coarseness() -> None:
    found = {
        (kind, outlier): harms(stack, kind, lambda stack=stack: sample(stack))["layers.0.down"]
        for kind in ALL
        for outlier in (1.0, 100.0)
        for stack in [Stack(outlier)]
    }
    for kind in ALL:
        assert found[kind, 100.0] > 20 * found[kind, 1.0]
    assert found[Quantization.INT8, 1.0] < found[Quantization.INT8_DYNAMIC, 1.0] < found[Quantization.FP8, 1.0]


def test_layer_not_reached_by_the_sample_is_not_quantized() -> None:
    stack = Stack(outlier=1.0)
    assert set(quantize(stack, Quantization.INT8, lambda: None)) == {"layers.0.up", "layers.0.down"}


def test_sizes_without_a_kernel_are_not_quantized() -> None:
    odd = nn.Module()
    narrow_layer = layer(16, 12, 1)
    odd.layers = nn.ModuleList([narrow_layer])
    x = torch.ones(2, 16)
    assert quantize(odd, Quantization.FP8, lambda: narrow_layer(x)) == {"layers.0": float("inf")}


def test_quantization_none_changes_nothing() -> None:
    model = tiny.model().base_model
    before = {id(module) for module in model.modules()}
    assert quantize(model, Quantization.NONE, lambda: pytest.fail("it was run")) == {}
    assert {id(module) for module in model.modules()} == before


def test_eight_bit_weights_take_these_bytes() -> None:
    exact = layer(64, 48, 1)
    assert size(exact) == 4 * 64 * 48
    for kind in ALL:
        assert size(FORMS[kind](exact)) == 64 * 48 + 4 * 48
    tied = nn.ModuleList([exact, layer(64, 48, 2)])
    tied[1].weight = exact.weight
    assert size(tied) == size(exact)


@pytest.mark.parametrize("kind", ALL)
def test_engines_quantize_and_log_it(kind: Quantization) -> None:
    """Both strategies in fp32, apart from the quantization: scores close to the exact ones, under another version."""
    asked = [tiny.request(["Heat", "Alien"], ["Jaws", "Fargo", "Evita"], session=session) for session in (1, 2)]
    for make in (tiny.engine, tiny.item_token_engine):
        exact, rounded = make(), make(quantization=kind.value, max_candidates=3)
        assert rounded.version != exact.version
        assert kind.value in rounded.version
        forms = [type(m) for m in rounded.layers.modules()]
        assert forms.count(FORMS[kind]) + len(rounded.exact) == 2 * 7
        assert forms.count(FORMS[kind]) > 0
        for got, wanted in zip(rounded.score(asked), exact.score(asked), strict=True):
            assert isinstance(got, Answered)
            assert isinstance(wanted, Answered)
            assert got.scores != wanted.scores
            # The tiny model has large weights, so its rounding errors are large.
            assert got.scores == pytest.approx(wanted.scores, abs=1.0)
        assert exact.exact == {}


def test_gpu_without_float8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")

    class OnGpu:
        def parameters(self) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(device=SimpleNamespace(type="cuda"))

    with pytest.raises(SettingsError, match="A100 does not support float8"):
        quantize(OnGpu(), Quantization.FP8, lambda: pytest.fail("it was run"))
