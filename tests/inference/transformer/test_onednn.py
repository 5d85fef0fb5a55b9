"""Prepacked weights give what linear layers give, and are put in place of those only that have such a layout."""

import copy

import pytest
import torch
from torch import nn

from inference.transformer.onednn import can_pack, prepack

TOLERANCE = {torch.bfloat16: 0.02, torch.float32: 1e-5}


def packed_name(dtype: torch.dtype) -> str:
    """What becomes of a layer: one of bf16 stays as it is on a CPU without bf16 products."""
    return "PackedLinear" if can_pack(torch.zeros(2, 2, dtype=dtype)) else "Linear"


@pytest.mark.parametrize("rows", [1, 9, 200])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_a_packed_layer_gives_what_the_layer_gives(rows: int, bias: bool, dtype: torch.dtype) -> None:
    linear = nn.Linear(96, 40, bias=bias).to(dtype)
    packed = nn.Sequential(copy.deepcopy(linear))
    prepack(packed)
    assert type(packed[0]).__name__ == packed_name(dtype)
    x = torch.randn(1, rows, 96).to(dtype)
    with torch.inference_mode():
        assert torch.allclose(packed(x).float(), linear(x).float(), atol=TOLERANCE[dtype])


def test_every_linear_layer_within_is_packed_and_nothing_else() -> None:
    whole = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), "b": nn.Linear(8, 8)})
    exact = copy.deepcopy(whole).to(torch.float64)
    prepack(exact)
    assert {type(m) for m in exact.modules()} >= {nn.Linear}, "float64 stays as it is"
    for dtype in TOLERANCE:
        packed = copy.deepcopy(whole).to(dtype)
        prepack(packed)
        leaves = [type(m).__name__ for m in packed.modules() if not list(m.children())]
        assert leaves == [packed_name(dtype), "LayerNorm", packed_name(dtype)]
