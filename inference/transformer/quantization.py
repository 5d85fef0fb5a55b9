"""Fewer bits for the weights of a language model's linear layers, except where that does harm.

    INT8            8-bit weights with one scale an output channel; computed in the number format of what comes in
    INT8_DYNAMIC    the same weights, and what comes in is rounded to 8 bits a row: multiplied as integers
    FP8             weights by output channel and what comes in by row as float8 (e4m3): multiplied as such on Hopper

A language model can have single activations thousands of times larger than the rest ("massive activations", Sun et
al., COLM 2024). Where they meet rounded weights, the error is larger than all that the other rows of the layer say.
So each layer is tried on what really goes into it, and stays as it is where a row comes out wrong by more than `LIMIT`
of a middle row's length.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from inference.errors import SettingsError
from inference.settings import Quantization
from inference.transformer.onednn import PackedLinear
from schemas.scoring import Candidate, Past, ScoreRequest

LIMIT = 0.25
"""The greatest error of an output row that is accepted, in lengths (2-norms) of the layer's median output row."""

SAMPLE = ScoreRequest(
    session=0,
    scene="default",
    history=tuple(
        Past(title, "like", feeling=2)
        for title in (
            "The Night Train",
            "Garden shears, small",
            "How to bake bread",
            "A Winter's Tale (1992)",
            "Running shoes",
            "Learning to sail",
            "Red wool sweater",
            "The Last Lighthouse",
            "Desk lamp, brass",
            "Songs for a long drive",
        )
    ),
    candidates=(Candidate("Notes on the deep sea"),),
)
"""What layers are tried on: things of several kinds, as any catalogue might hold them."""

_INT8 = 127.0
_FP8 = torch.finfo(torch.float8_e4m3fn).max
_FEW_ROWS = 12
"""Up to so many rows torch's own kernel for 8-bit weights is faster than widening them first: measured with AVX-512."""
_LEAST_INTEGER_ROWS = 16
"""A GPU's product of integers takes more rows than these."""
_FP8_CAPABILITY = (8, 9)
_FP8_STEP = 16
"""Sizes that float8 kernels take are multiples of this."""


@lru_cache
def exact_weights() -> float:
    """The greatest integer weight whose products with 8-bit inputs this processor adds up exactly.

    AVX2 without VNNI adds two products in 16 bits, which saturate without a word; half the range of weights never does.
    """
    full = torch.full((_LEAST_INTEGER_ROWS, 64), int(_INT8), dtype=torch.int8)
    exact = bool((torch._int_mm(full, full.t()) == int(_INT8) ** 2 * full.shape[1]).all())
    return _INT8 if exact else 63.0


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights: `weight` int8 [out, in], `scale` float32 [out]."""

    def __init__(self, base: nn.Linear, greatest: float = _INT8) -> None:
        """`greatest`: what the greatest weight of a row is rounded to."""
        super().__init__()
        weight, scale = _by_row(base.weight.detach(), greatest)
        self.register_buffer("weight", weight.round().to(torch.int8))
        self.register_buffer("scale", scale.squeeze(1))
        self.bias = base.bias

    weight: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if x.dtype == torch.bfloat16 and not x.is_cuda and len(rows) <= _FEW_ROWS:
            found = torch._weight_int8pack_mm(rows.contiguous(), self.weight, self.scale.to(x.dtype))
        else:
            found = linear(rows, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        found = found if self.bias is None else found + self.bias
        return found.view(*x.shape[:-1], -1)


class Int8DynamicLinear(Int8Linear):
    """The same weights; each row that comes in is rounded to 8 bits by its greatest number.

    On a processor that would saturate, weights have 7 bits.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base, _INT8 if base.weight.is_cuda else exact_weights())

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and x.numel() // x.shape[-1] <= _LEAST_INTEGER_ROWS:
            return super().forward(x)
        rows, scale = _by_row(x.reshape(-1, x.shape[-1]), _INT8)
        product = torch._int_mm(rows.round_().to(torch.int8), self.weight.t())
        found = (product * scale).mul_(self.scale).to(x.dtype)
        found = found if self.bias is None else found + self.bias
        return found.view(*x.shape[:-1], -1)


class Fp8Linear(nn.Module):
    """A linear layer in float8: `weight` e4m3 [out, in], `scale` float32 [1, out].

    On a CPU the same products are made in float32, which is slow: for tests.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        weight, scale = _by_row(base.weight.detach(), _FP8)
        self.register_buffer("weight", weight.to(torch.float8_e4m3fn))
        self.register_buffer("scale", scale.t().contiguous())
        self.bias = base.bias

    weight: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        rows, scale = _by_row(x.reshape(-1, x.shape[-1]), _FP8)
        narrow = rows.to(torch.float8_e4m3fn)
        if x.is_cuda:
            found = torch._scaled_mm(
                narrow, self.weight.t(), scale_a=scale, scale_b=self.scale, out_dtype=torch.bfloat16
            ).to(x.dtype)
        else:
            found = (linear(narrow.float(), self.weight.float()) * scale * self.scale).to(x.dtype)
        found = found if self.bias is None else found + self.bias
        return found.view(*x.shape[:-1], -1)


FORMS: Mapping[Quantization, type[nn.Module]] = {
    Quantization.INT8: Int8Linear,
    Quantization.INT8_DYNAMIC: Int8DynamicLinear,
    Quantization.FP8: Fp8Linear,
}


def named(version: str, kind: Quantization) -> str:
    """The version of a model whose weights are kept as `kind`."""
    return version if kind is Quantization.NONE else f"{version}-{kind.value}"


@torch.no_grad()
def quantize(decoder: Any, kind: Quantization, sample: Callable[[], object], limit: float = LIMIT) -> dict[str, float]:
    """Put `kind` in the place of the linear layers of `decoder`, in place, except where that does harm.

    `decoder` has its layers under `layers`; embeddings and output head are not touched. `sample` runs it once over what
    is usual for it: a prompt from its first token on. Returns the layers that stay as they are, by name, with their
    harm (`harms`); those of sizes that the format has no kernel for are among them, with infinity.

    Raises `SettingsError` for float8 on a GPU that cannot multiply in it.
    """
    if kind is Quantization.NONE:
        return {}
    device = next(decoder.parameters()).device
    if kind is Quantization.FP8 and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < _FP8_CAPABILITY:
            raise SettingsError(
                f"{torch.cuda.get_device_name(device)} does not multiply in float8 (compute capability {capability}, "
                f"{_FP8_CAPABILITY} is needed): set quantization to none"
            )
    found = harms(decoder, kind, sample)
    kept = {name: harm for name, harm in found.items() if not harm <= limit}
    form = FORMS[kind]
    for name, layer in list(_linears(decoder)):
        if name not in kept:
            parent, _, child = name.rpartition(".")
            setattr(decoder.get_submodule(parent), child, form(layer))
    return kept


@torch.no_grad()
def harms(decoder: Any, kind: Quantization, sample: Callable[[], object]) -> dict[str, float]:
    """What `kind` would do to each linear layer, on all that goes into it while `sample` runs.

    It is the 2-norm of the worst row's error over the median 2-norm of the rows, the largest of all calls: against that
    median and not the row's own length, since the state that the error is added to may be of usual length. Infinity for
    a layer of sizes that the format cannot have, and for one that `sample` did not reach.
    """
    layers = dict(_linears(decoder))
    found = dict.fromkeys(layers, float("inf"))
    form = FORMS[kind]

    def measure(name: str, layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if kind is Quantization.FP8 and (layer.in_features % _FP8_STEP or layer.out_features % _FP8_STEP):
            return
        exact = output.float().reshape(-1, output.shape[-1])
        error = form(layer)(inputs[0]).float().reshape(exact.shape) - exact
        usual = exact.norm(dim=1).median().clamp_min(1e-12)
        worst = float(error.norm(dim=1).max() / usual)
        found[name] = worst if found[name] == float("inf") else max(found[name], worst)

    hooks = [
        layer.register_forward_hook(lambda module, inputs, output, name=name: measure(name, module, inputs, output))
        for name, layer in layers.items()
    ]
    try:
        sample()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def size(module: nn.Module) -> int:
    """Bytes of all weights and scales, each counted once."""
    kept = {t.data_ptr(): t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers())}
    return sum(kept.values()) + sum(m.bytes for m in module.modules() if isinstance(m, PackedLinear))


def _linears(decoder: Any) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in decoder.layers.named_modules(prefix="layers"):
        if isinstance(module, nn.Linear):
            yield name, module


def _by_row(x: Tensor, greatest: float) -> tuple[Tensor, Tensor]:
    """Each row as float32 with its greatest number at `greatest`, and what multiplies it back: float32 [rows, 1]."""
    wide = x.float()
    scale = wide.abs().amax(1, keepdim=True).clamp_min_(1e-12).mul_(1 / greatest)
    return wide / scale, scale
