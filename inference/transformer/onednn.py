"""Weights in the layout that the CPU's matrix products want, made once instead of at every product.

With few rows a pass is bound by reading weights, and those laid out anew each time are read, written and read again.
oneDNN's own layout saves that. Measured on the matrices of one layer of SmolLM2, one thread, as a share of the time
without: bf16 0.52 with 9 rows and 0.73 with 512; fp32 on AVX2 0.83 and 0.91.
"""

from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 64
"""The number of rows that the layout is chosen for; it serves any other."""


class PackedLinear(nn.Module):
    """A linear layer that is not trained any more. Takes [..., inputs], gives [..., outputs]."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        # Not a buffer: it can be neither copied nor moved nor saved.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bytes = linear.weight.numel() * linear.weight.element_size()
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return found


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN has such a layout for weights like this one on this processor."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32


def prepack(module: Any) -> None:
    """Put a `PackedLinear` in place of every linear layer within `module` that can be packed."""
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear and can_pack(child.weight):
            setattr(module, name, PackedLinear(child))
        else:
            prepack(child)
