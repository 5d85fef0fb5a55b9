"""Training of networks that know items by id alone.

TowerNetwork     the tower that complements the language model in the scorer (`inference.item_tokens.tower`)
SasRecNetwork    the published baselines, SASRec and eSASRec
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.item_tokens.tower import Tower


class TowerNetwork:
    """A tower in training. `drawn` replaces a random part of item rows by row 0, so that the tower learns to handle
    unknown items."""

    def __init__(self, tower: Tower, drawn: Callable[[Tensor], Tensor]) -> None:
        self.module: nn.Module = tower
        self._items = tower.item
        self._drawn = drawn

    @property
    def device(self) -> torch.device:
        return self._items.weight.device

    def contexts(self, items: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        found: Tensor = self.module(self._drawn(items + 1), feelings, gaps)
        return found

    def vectors(self, known: Tensor) -> Tensor:
        found: Tensor = self._items(self._drawn(torch.arange(1, len(known) + 1, device=self.device)) * known)
        return found

    def groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        return [("head", list(self.module.parameters()))]


class SasRecNetwork:
    """SASRec or eSASRec (`inference.evaluation.sasrec`) in training, with one position more than the longest piece.

    Each piece starts and is filled up with padding, so that positions count from the start.
    """

    def __init__(self, module: Any) -> None:
        self.module: nn.Module = module
        self._nothing: int = module.padding
        self._length: int = module.length
        self._items: nn.Embedding = module.item

    @property
    def device(self) -> torch.device:
        return self._items.weight.device

    def contexts(self, items: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        filled = functional.pad(items, (1, self._length - 1 - items.shape[1]), value=self._nothing)
        found: Tensor = self.module(filled)
        return found[:, : items.shape[1] + 1]

    def vectors(self, known: Tensor) -> Tensor:
        return self._items.weight[: self._nothing]

    def groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        return [("head", list(self.module.parameters()))]
