"""Low-rank adaptation of a language model's linear layers (Hu et al., ICLR 2022)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ADAPTED = (
    ("self_attn", ("q_proj", "k_proj", "v_proj", "o_proj")),
    ("mlp", ("gate_proj", "up_proj", "down_proj")),
)
STRENGTH = 2.0
"""Factor of the low-rank product."""


class LoraLinear(nn.Module):
    """A frozen linear layer plus STRENGTH * up(down(x)). `up` starts at zero, so the layer is unchanged at first."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.base(x)
        return found + functional.linear(functional.linear(x, self.down), self.up) * STRENGTH


def adapt(language_model: Any, rank: int) -> dict[str, nn.Parameter]:
    """Add LoRA to every layer of a transformers decoder, in place. Returns the trainable parameters by name."""
    language_model.requires_grad_(False)
    found: dict[str, nn.Parameter] = {}
    for at, layer in enumerate(language_model.layers):
        for part, names in ADAPTED:
            module = getattr(layer, part)
            for name in names:
                adapted = LoraLinear(getattr(module, name), rank)
                setattr(module, name, adapted)
                found[f"{at}.{part}.{name}.down"] = adapted.down
                found[f"{at}.{part}.{name}.up"] = adapted.up
    return found


@torch.no_grad()
def merge(language_model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Merge LoRA into the weights of an unadapted decoder, in place. `tensors` have the names that `adapt` returns."""
    for at, layer in enumerate(language_model.layers):
        for part, names in ADAPTED:
            for name in names:
                down = tensors.get(f"{at}.{part}.{name}.down")
                if down is not None:
                    weight = getattr(getattr(layer, part), name).weight
                    change = STRENGTH * (tensors[f"{at}.{part}.{name}.up"].float() @ down.float())
                    weight.copy_(weight.float() + change.to(weight.device))
