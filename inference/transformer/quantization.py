"""Quantize the linear layers of a language model, except where the error is too large.

    INT8            8-bit weights with one scale per output channel; computed in the number format of the input
    INT8_DYNAMIC    the same weights, and inputs rounded to 8 bits per row: integer multiplication
    FP8             weights per output channel and inputs per row as float8 (e4m3): float8 multiplication on Hopper

A language model can have single activations thousands of times larger than the rest ("massive activations", Sun et
al., COLM 2024). With rounded weights, their error exceeds the output of all other rows of the layer. Each layer is
therefore tested on real inputs, and stays unquantized if the error of any output row exceeds `LIMIT` times the norm of
the median row.
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
"""The maximum error of an output row, in 2-norms of the layer's median output row."""

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
"""The sample that layers are tested on: items of several kinds, as in any catalogue."""

_INT8 = 127.0
_FP8 = torch.finfo(torch.float8_e4m3fn).max
_FEW_ROWS = 12
"""Up to this many rows torch's kernel for 8-bit weights is faster than widening them first: measured with AVX-512."""
_LEAST_INTEGER_ROWS = 16
"""The integer product of a GPU needs more rows than this."""
_FP8_CAPABILITY = (8, 9)
_FP8_STEP = 16
"""Float8 kernels need sizes that are multiples of this."""


@lru_cache
def exact_weights() -> float:
    """The largest integer weight whose products with 8-bit inputs this processor accumulates exactly.

    AVX2 without VNNI adds two products in 16 bits and saturates silently; half the range of weights is always safe.
    """
    full = torch.full((_LEAST_INTEGER_ROWS, 64), int(_INT8), dtype=torch.int8)
    exact = bool((torch._int_mm(full, full.t()) == int(_INT8) ** 2 * full.shape[1]).all())
    return _INT8 if exact else 63.0


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights: `weight` int8 [out, in], `scale` float32 [out]."""

    def __init__(self, base: nn.Linear, greatest: float = _INT8) -> None:
        """`greatest` is the integer that the largest weight of a row is scaled to."""
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
    """The same weights; each input row is rounded to 8 bits, scaled by its largest number.

    On processors that would saturate, weights have 7 bits.
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

    On a CPU the same products are computed in float32, which is slow: for tests.
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
    """The version of a model with weights quantized as `kind`."""
    return version if kind is Quantization.NONE else f"{version}-{kind.value}"


@torch.no_grad()
def quantize(decoder: Any, kind: Quantization, sample: Callable[[], object], limit: float = LIMIT) -> dict[str, float]:
    """Quantize the linear layers of `decoder` to `kind`, in place, except where the error is too large.

    `decoder` has its layers under `layers`; embeddings and output head are unchanged. `sample` runs it once on typical
    input: a prompt from its first token. Returns the unquantized layers by name, with their errors (`harms`); layers of
    sizes without a kernel are among them, with infinity.

    Raises `SettingsError` for float8 on a GPU that does not support it.
    """
    if kind is Quantization.NONE:
        return {}
    device = next(decoder.parameters()).device
    if kind is Quantization.FP8 and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < _FP8_CAPABILITY:
            raise SettingsError(
                f"{torch.cuda.get_device_name(device)} does not support float8 (compute capability {capability}, "
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
    """The error of each linear layer if quantized to `kind`, on its inputs while `sample` runs.

    It is the 2-norm of the worst row's error over the median 2-norm of the rows, the maximum over all calls. The median
    is used instead of the row's own norm, since the state that the error is added to may have a usual norm. Infinity
    for layers of unsupported sizes, and for layers that `sample` did not reach.
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
    """Bytes of all weights and scales, counting shared ones once."""
    kept = {t.data_ptr(): t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers())}
    return sum(kept.values()) + sum(m.bytes for m in module.modules() if isinstance(m, PackedLinear))


def _linears(decoder: Any) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in decoder.layers.named_modules(prefix="layers"):
        if isinstance(module, nn.Linear):
            yield name, module


def _by_row(x: Tensor, greatest: float) -> tuple[Tensor, Tensor]:
    """Rows as float32 scaled to a maximum of `greatest`, and the factors that undo it: float32 [rows, 1]."""
    wide = x.float()
    scale = wide.abs().amax(1, keepdim=True).clamp_min_(1e-12).mul_(1 / greatest)
    return wide / scale, scale
