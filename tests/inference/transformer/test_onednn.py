"""Prepacked layers compute the same as linear layers, and replace only layers that can be packed."""

import copy

import pytest
import torch
from torch import nn

from inference.transformer.onednn import can_pack, prepack

TOLERANCE = {torch.bfloat16: 0.02, torch.float32: 1e-5}


def packed_name(dtype: torch.dtype) -> str:
    """The expected type after prepacking: bf16 layers stay as they are on a CPU without bf16 products."""
    return "PackedLinear" if can_pack(torch.zeros(2, 2, dtype=dtype)) else "Linear"


@pytest.mark.parametrize("rows", [1, 9, 200])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_prepacked_layer_computes_the_same(rows: int, bias: bool, dtype: torch.dtype) -> None:
    linear = nn.Linear(96, 40, bias=bias).to(dtype)
    packed = nn.Sequential(copy.deepcopy(linear))
    prepack(packed)
    assert type(packed[0]).__name__ == packed_name(dtype)
    x = torch.randn(1, rows, 96).to(dtype)
    with torch.inference_mode():
        assert torch.allclose(packed(x).float(), linear(x).float(), atol=TOLERANCE[dtype])


def test_prepacking_replaces_linear_layers_only() -> None:
    whole = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), "b": nn.Linear(8, 8)})
    exact = copy.deepcopy(whole).to(torch.float64)
    prepack(exact)
    assert {type(m) for m in exact.modules()} >= {nn.Linear}, "float64 stays as it is"
    for dtype in TOLERANCE:
        packed = copy.deepcopy(whole).to(dtype)
        prepack(packed)
        leaves = [type(m).__name__ for m in packed.modules() if not list(m.children())]
        assert leaves == [packed_name(dtype), "LayerNorm", packed_name(dtype)]
