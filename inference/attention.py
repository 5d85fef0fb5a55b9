"""Attention over packed parts, plugged into a transformers model as an attention implementation.

Each part attends on its own, so a pass over several people costs no attention between them, and the keys and values of
the prefixes are taken out on the way, for the prefix cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from inference.packing import Part

IMPLEMENTATION = "ouzel_packed"


@dataclass(frozen=True, eq=False)
class PrefixState:
    """The keys and values of a prefix: one tensor a layer each, [kv heads, tokens, head size]."""

    tokens: tuple[int, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values)) + 8 * len(self.tokens)


@dataclass(eq=False)
class Pass:
    """One forward pass: its parts, the state that each starts from, and the prefix keys and values taken out of it."""

    parts: Sequence[Part]
    starts: Sequence[PrefixState | None]
    masks: list[torch.Tensor] = field(default_factory=list)
    keys: list[list[torch.Tensor]] = field(default_factory=list)
    values: list[list[torch.Tensor]] = field(default_factory=list)

    def prepare(self, group: int, dtype: torch.dtype) -> None:
        """Make the additive masks, each repeated for the `group` query heads that share a key head."""
        for part in self.parts:
            mask = torch.zeros(part.visible.shape, dtype=dtype)
            mask.masked_fill_(~torch.from_numpy(part.visible), float("-inf"))
            self.masks.append(mask.repeat(group, 1))
            self.keys.append([])
            self.values.append([])

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """One layer's attention. `query` and the result are [heads, R, size], `key` and `value` [kv heads, R, size]."""
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
            # The query heads that share a key head are laid out as more rows of it: no copy of the keys.
            grouped = query[:, here].reshape(1, kv_heads, -1, size)
            out = scaled_dot_product_attention(
                grouped, keys.unsqueeze(0), values.unsqueeze(0), attn_mask=self.masks[index], scale=scale
            )
            result[:, here] = out.view(heads, part.rows, size)
        return result

    def state(self, index: int, prefix: tuple[int, ...]) -> PrefixState | None:
        """The state of the stable prefix of one part after the pass; None if all of it was there before."""
        part = self.parts[index]
        if part.stable <= part.kept:
            return None
        return PrefixState(prefix[: part.stable], tuple(self.keys[index]), tuple(self.values[index]))


def packed_attention(  # noqa: PLR0917  (the signature is transformers')
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    packed: Pass | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls in each layer. Takes [1, heads, R, size]; gives [1, R, heads, size]."""
    if packed is None:
        raise ValueError("this model was loaded for packed passes: call it with packed=Pass(...)")
    if kwargs.get("softcap") is not None:
        raise ValueError("a model that caps its attention logits cannot be packed; use another model")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    result = packed.attend(module.layer_idx, query[0], key[0], value[0], scale)
    return result.transpose(0, 1).unsqueeze(0), None


AttentionInterface.register(IMPLEMENTATION, packed_attention)
