"""Prepacked weights give what linear layers give, and are put in place of those only that have such a layout."""

import copy

import pytest
import torch
from torch import nn

from inference.prepacked import can_pack, prepack

PACKED = "PackedLinear" if can_pack(torch.zeros(2, 2, dtype=torch.bfloat16)) else "Linear"
"""What becomes of a bf16 layer: it stays as it is on a CPU without bf16 products."""


@pytest.mark.parametrize("rows", [1, 9, 200])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_gives_what_the_layer_gives(rows: int, bias: bool) -> None:
    linear = nn.Linear(96, 40, bias=bias).to(torch.bfloat16)
    packed = nn.Sequential(copy.deepcopy(linear))
    prepack(packed)
    assert type(packed[0]).__name__ == PACKED
    x = torch.randn(1, rows, 96).to(torch.bfloat16)
    with torch.inference_mode():
        assert torch.allclose(packed(x).float(), linear(x).float(), atol=0.02)


def test_every_linear_layer_within_is_packed_and_nothing_else() -> None:
    whole = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), "b": nn.Linear(8, 8)})
    exact = copy.deepcopy(whole)
    prepack(exact)
    assert {type(m) for m in exact.modules()} >= {nn.Linear}, "fp32 stays as it is"
    whole.to(torch.bfloat16)
    prepack(whole)
    assert [type(m).__name__ for m in whole.modules() if not list(m.children())] == [PACKED, "LayerNorm", PACKED]
