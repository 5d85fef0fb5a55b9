"""Learned parameters of single items, in addition to their texts. Only adapters for a specific catalogue have them."""

import math
from typing import Self

import torch
from torch import Tensor, nn

from inference.item_tokens.heads import Shape
from inference.item_tokens.tower import Tower


class Residuals(nn.Module):
    """One row per item, from 1. Row 0 is for items unseen in training: it adds nothing to their tokens and vectors, and
    in the tower, if there is one, it is the embedding of an unknown item."""

    def __init__(self, shape: Shape, items: int) -> None:
        super().__init__()
        self.input = nn.Embedding(items + 1, shape.residual)
        self.project = nn.Linear(shape.residual, shape.hidden, bias=False)
        self.output = nn.Embedding(items + 1, shape.width + 1)
        self.tower = Tower(items, shape.tower) if shape.tower else None
        nn.init.normal_(self.input.weight, std=0.1)
        nn.init.normal_(self.project.weight, std=3 / math.sqrt(shape.residual))
        nn.init.zeros_(self.output.weight)
        with torch.no_grad():
            self.input.weight[0] = 0.0

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        return cls(shape, 0)

    def tokens(self, rows: Tensor) -> Tensor:
        """The residuals of item tokens: rows [...] to [..., H]."""
        found: Tensor = self.project(self.input(rows) * (rows > 0).unsqueeze(-1))
        return found

    def vectors(self, rows: Tensor) -> Tensor:
        """The residuals of item vectors: rows [...] to [..., D + 1]."""
        found: Tensor = self.output(rows) * (rows > 0).unsqueeze(-1)
        return found

    def of_text(self) -> list[nn.Parameter]:
        """All parameters except the tower's."""
        return [*self.input.parameters(), *self.project.parameters(), *self.output.parameters()]

    def by_item(self) -> tuple[str, ...]:
        """The names of tensors with one row per item."""
        return ("input.weight", "output.weight", *(() if self.tower is None else ("tower.item.weight",)))
