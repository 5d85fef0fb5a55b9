"""The tower: a small causal transformer over item ids that learns from the sequences of users' events.

It complements the language model, which knows items by their texts: with many users over the same items, ids carry
information that texts do not. The network is SASRec's (W.-C. Kang and J. McAuley, "Self-Attentive Sequential
Recommendation", ICDM 2018), with the user's feeling about each item and the time since the previous event as extra
inputs.
"""

from math import sqrt

from torch import Tensor, nn
from torch.nn import functional

from inference.item_tokens.heads import FEELINGS, GAPS


class Tower(nn.Module):
    """Maps contexts and items to vectors of `width` numbers, whose dot product is a logit.

    Items are rows 1 to `items`; row 0 is any item unseen in training. `length` is the maximum number of events in a
    context.
    """

    def __init__(
        self, items: int, width: int = 64, layers: int = 2, *, heads: int = 2, length: int = 50, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.width, self.length = width, length
        self.item = nn.Embedding(items + 1, width)
        self.position = nn.Embedding(length + 1, width)
        self.feeling = nn.Embedding(FEELINGS, width)
        self.gap = nn.Embedding(GAPS, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.item, self.position, self.feeling, self.gap):
            nn.init.normal_(embedding.weight, std=1.0 / width)

    def forward(self, rows: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        """The vector before the first event and after each: int64 [B, L] each, L <= `length` -> [B, L + 1, width].

        A vector depends only on earlier events, so padding at the end is harmless.
        """
        size = rows.shape[1]
        if size > self.length:
            raise ValueError(f"{size} events exceed the {self.length} that a context may have: drop the oldest")
        events = self.item(rows) * sqrt(self.width) + self.feeling(feelings) + self.gap(gaps)
        states = functional.pad(events, (0, 0, 1, 0)) + self.position.weight[: size + 1]
        states = self.dropout(states)
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.norm(states)
        return normed


class Block(nn.Module):
    """One pre-norm layer: attention, then two linear maps with a GELU between them."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be split into {heads} heads: use a multiple")
        self.heads, self.dropout = heads, dropout
        self.before_attention, self.before_inner = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        wide, narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.inner = nn.Sequential(wide, nn.GELU(), nn.Dropout(dropout), narrow, nn.Dropout(dropout))

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States [B, L, width]; causal, or with a bool `mask` [B, 1, L, L], true where attended."""
        states = states + functional.dropout(self.attended(states, mask), self.dropout if self.training else 0.0)
        inner: Tensor = self.inner(self.before_inner(states))
        return states + inner

    def attended(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """What attention adds to the states."""
        batch, size, width = states.shape
        mixed = self.mix(self.before_attention(states)).view(batch, size, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        chance = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, dropout_p=chance
        )
        added: Tensor = self.out(seen.transpose(1, 2).reshape(batch, size, width))
        return added
