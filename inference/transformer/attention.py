"""Attention over packed parts, plugged into a transformers model as an attention implementation.

Every pass has a method `attend`. In `Pass` each part attends separately, so a pass over several users computes no
attention between them; it also collects the keys and values of prefixes for the prefix cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from inference.errors import WeightsError
from inference.transformer.packing import Layout

IMPLEMENTATION = "ouzel_packed"


class Attention(Protocol):
    """The attention of one pass."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """One layer's attention. `query` and the result are [heads, R, size], `key` and `value` [kv heads, R, size]."""


@dataclass(frozen=True, eq=False)
class PrefixState:
    """The keys and values of a prefix: one tensor per layer each, [kv heads, tokens, head size]."""

    tokens: tuple[int, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values)) + 8 * len(self.tokens)


@dataclass(eq=False)
class Pass:
    """One forward pass: the layouts of its parts, their masks (`mask`), the state that each starts from, and the prefix
    keys and values collected from it.

    `pause` is called in each layer, and may run other passes."""

    parts: Sequence[Layout]
    masks: Sequence[torch.Tensor]
    starts: Sequence[PrefixState | None]
    pause: Callable[[], None] | None = None
    keys: list[list[torch.Tensor]] = field(init=False)
    values: list[list[torch.Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = [[] for _ in self.parts]
        self.values = [[] for _ in self.parts]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        if self.pause is not None:
            self.pause()
        heads, _, size = query.shape
        kv_heads = key.shape[0]
        result = torch.empty_like(query)
        at = 0
        for index, (part, start) in enumerate(zip(self.parts, self.starts, strict=True)):
            here = slice(at, at + part.rows)
            at += part.rows
            keys, values = key[:, here], value[:, here]
            if start is not None and part.kept:
                keys = torch.cat([start.keys[layer][:, : part.kept], keys], dim=1)
                values = torch.cat([start.values[layer][:, : part.kept], values], dim=1)
            if part.stable > part.kept:
                self.keys[index].append(keys[:, : part.stable].clone())
                self.values[index].append(values[:, : part.stable].clone())
            # Query heads that share a key head become extra rows of it, which avoids copies of the keys.
            grouped = query[:, here].reshape(1, kv_heads, -1, size)
            out = scaled_dot_product_attention(
                grouped, keys.unsqueeze(0), values.unsqueeze(0), attn_mask=self.masks[index], scale=scale
            )
            result[:, here] = out.view(heads, part.rows, size)
        return result

    def state(self, index: int, prefix: tuple[int, ...]) -> PrefixState | None:
        """The state of the stable prefix of one part after the pass; None if all of it was cached before."""
        part = self.parts[index]
        if part.stable <= part.kept:
            return None
        return PrefixState(prefix[: part.stable], tuple(self.keys[index]), tuple(self.values[index]))


def check_packable(config: Any, name: str) -> None:
    """Raises `WeightsError` for a model whose attention is incompatible with packing."""
    sliding = getattr(config, "sliding_window", None)
    if sliding is not None and getattr(config, "use_sliding_window", True):
        raise WeightsError(
            f"{name} attends in a sliding window of {sliding} tokens, which packing does not support; use another model"
        )


def group(config: Any) -> int:
    """The number of query heads that share a key head."""
    heads: int = config.num_attention_heads
    return heads // (config.num_key_value_heads or heads)


def mask(layout: Layout, group: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The additive mask of a part, repeated for the `group` query heads that share a key head."""
    found = torch.zeros(layout.visible.shape, dtype=dtype)
    found.masked_fill_(~torch.from_numpy(layout.visible), float("-inf"))
    return found.repeat(group, 1).to(device)


def packed_attention(  # noqa: PLR0917  (the signature is transformers')
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    packed: Attention | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Called by transformers in each layer. Takes [1, heads, R, size]; returns [1, R, heads, size]."""
    if packed is None:
        raise ValueError("this model was loaded for packed passes: call it with packed=Pass(...)")
    if kwargs.get("softcap") is not None:
        raise ValueError("a model that caps its attention logits cannot be packed; use another model")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    result = packed.attend(module.layer_idx, query[0], key[0], value[0], scale)
    return result.transpose(0, 1).unsqueeze(0), None


AttentionInterface.register(IMPLEMENTATION, packed_attention)
