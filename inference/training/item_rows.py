"""The parameters of single items in training: how rows of new items begin, and training some rows alone."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from inference.item_tokens.residuals import Residuals
from inference.training.network import ItemTokenNetwork, Network
from inference.training.walk_forward import Bools

TEXT_PART, TOWER_PART = "text", "tower"


@torch.no_grad()
def begin(residuals: Residuals, known: Bools, *, tower: bool) -> None:
    """Let the items that are not `known`, bool [items], begin as they were scored before they had rows.

    Their residuals add nothing; with `tower` their embeddings are that of the unknown item (row 0), otherwise those of
    the tower keep their random values.
    """
    rows = torch.from_numpy(np.flatnonzero(~known) + 1).to(residuals.input.weight.device)
    residuals.input.weight[rows] = 0.0
    residuals.output.weight[rows] = 0.0
    if tower and residuals.tower is not None:
        residuals.tower.item.weight[rows] = residuals.tower.item.weight[0].clone()


class RowsOf:
    """A part of a network of which only some rows of single items are trained.

    Train it without weight decay: then all other rows stay as they are, bit for bit.
    """

    def __init__(self, part: Network, tables: Sequence[nn.Embedding], items: Bools) -> None:
        """`items` bool [items] says whose rows are trained; `tables` of `part` have a row per item."""
        self.module = part.module
        self.contexts = part.contexts
        self.vectors = part.vectors
        self._part = part
        self._tables: list[nn.Parameter] = [weight for table in tables for weight in table.parameters()]
        chosen = torch.from_numpy(np.concatenate(([False], items))).to(part.device)
        for table in self._tables:
            table.requires_grad_(True)
            table.register_hook(lambda gradient: gradient * chosen[:, None])  # type: ignore[no-untyped-call]

    @property
    def device(self) -> torch.device:
        return self._part.device

    def groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        return [("item", self._tables)]


def rows_of(network: ItemTokenNetwork, items: Bools) -> dict[str, Network]:
    """The parts of a network, by name, of which only the rows of `items` are trained from now on. All other parameters
    are frozen."""
    residuals = network.residuals
    assert residuals is not None
    network.module.requires_grad_(False)
    found: dict[str, Network] = {}
    if network.tower is not None and residuals.tower is not None:
        found[TOWER_PART] = RowsOf(network.tower, [residuals.tower.item], items)
    return found | {TEXT_PART: RowsOf(network.text, [residuals.input, residuals.output], items)}


def known_rows(items: Sequence[str], having: Sequence[str]) -> Bools:
    """Which of `items` have rows in an adapter whose items are `having`, bool [items]."""
    found = frozenset(having)
    return np.array([item in found for item in items], np.bool_)
