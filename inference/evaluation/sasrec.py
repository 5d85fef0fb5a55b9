"""SASRec and eSASRec, the sequential baselines: causal transformers over a user's item ids.

W.-C. Kang and J. McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. With the best training known today:
full softmax instead of one sampled negative, pre-norm blocks, GELU.

D. Tikhonovich et al., "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion", RecSys 2025: LiGR
layers; SASRec's objective, the next item after every position; and a sampled softmax. Here both have the full softmax,
and a sampled one for large catalogues (`inference.training.trainer`).
"""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.item_tokens.tower import Block


class SasRec(nn.Module):
    """Scores all items after each event of a user.

    Items are numbered from 0; `padding` (= `items`) is not an item, and no other position attends to it.
    """

    def __init__(
        self,
        items: int,
        width: int = 64,
        layers: int = 2,
        *,
        heads: int = 2,
        length: int = 50,
        dropout: float = 0.2,
        block: Callable[[int, int, float], nn.Module] = Block,
    ) -> None:
        """`block` makes a layer from the width, the number of heads and the dropout."""
        super().__init__()
        self.items, self.length, self.padding = items, length, items
        self.item = nn.Embedding(items + 1, width, padding_idx=self.padding)
        self.position = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.item, self.position):
            nn.init.normal_(embedding.weight, std=1.0 / width)
        with torch.no_grad():
            self.item.weight[self.padding].zero_()

    def forward(self, items: Tensor) -> Tensor:
        """The state after each position: items int64 [B, L], L <= length -> float [B, L, width].

        A state depends on its own item and earlier ones. States at padding are meaningless. Positions are counted from
        the end, so pad short histories on the left.
        """
        size = items.shape[1]
        if size > self.length:
            raise ValueError(f"{size} items exceed the {self.length} positions: drop the oldest")
        places = torch.arange(self.length - size, self.length, device=items.device)
        states = self.item(items) * sqrt(self.item.embedding_dim) + self.position(places)
        states = self.dropout(states)
        causal = torch.ones(size, size, dtype=torch.bool, device=items.device).tril()
        itself = torch.eye(size, dtype=torch.bool, device=items.device)  # avoids empty rows at padding, which give NaN
        mask = (causal & (items != self.padding)[:, None, :]) | itself
        for block in self.blocks:
            states = block(states, mask[:, None])
        normed: Tensor = self.norm(states)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """The score of every item as the next: [..., width] -> [..., items]. Item embeddings are tied."""
        return states @ self.item.weight[: self.items].T


class LigrBlock(Block):
    """One layer of LiGR: what attention and a SwiGLU add is multiplied by gates that the layer's input opens.

    F. Borisyuk et al., "From Features to Transformers: Redefining Ranking for Scalable Impact", 2025.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__(width, heads, dropout)
        self.inner = nn.Sequential(SwiGlu(width, 4 * width, dropout), nn.Dropout(dropout))
        self.attention_gate, self.inner_gate = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        added = functional.dropout(self.attended(states, mask), self.dropout if self.training else 0.0)
        states = states + torch.sigmoid(self.attention_gate(states)) * added
        inner: Tensor = torch.sigmoid(self.inner_gate(states)) * self.inner(self.before_inner(states))
        return states + inner


class SwiGlu(nn.Module):
    """Feed-forward with a gated input (N. Shazeer, "GLU Variants Improve Transformer", 2020)."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down, self.dropout = nn.Linear(inner, width, bias=False), nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        found: Tensor = self.down(self.dropout(functional.silu(self.gate(states)) * self.up(states)))
        return found
