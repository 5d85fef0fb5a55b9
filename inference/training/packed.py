"""Lists as network input: contexts with their candidates, in the layout of `inference.item_tokens.engine`.

A row of a pass is [instruction | events, padded to L | candidates]. A candidate attends to the instruction, the events
of its row and itself only; its position is right after the last of these events.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.item_tokens.heads import feeling_rows
from inference.training.histories import Histories, Ints
from inference.training.sequences import context_begin


class Lists(NamedTuple):
    """B contexts of up to L events with N candidates each.

    `items`, `feelings` (rows) and `gaps` int64 [B, L], 0 beyond a context's end; `lengths` int64 [B]: numbers of
    events. `candidates` int64 [B, N]; `real` bool [B, N]: false for padding. `weights` float32 [B].
    """

    items: Tensor
    feelings: Tensor
    gaps: Tensor
    lengths: Tensor
    candidates: Tensor
    real: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Lists":
        return Lists(*(one.to(device) for one in self))


class Layout(NamedTuple):
    """`mask` float32 [B, 1, T, T], additive; `positions` int64 [B, T]; `last` int64 [B]: the context's last row."""

    mask: Tensor
    positions: Tensor
    last: Tensor


def lay_out(before: int, lengths: Tensor, events: int, candidates: int) -> Layout:
    """The layout of rows with `before` + `events` + `candidates` tokens, of whose events `lengths` [B] are real."""
    device = lengths.device
    place = torch.arange(before + events + candidates, device=device)
    offered = place >= before + events
    ends = before + lengths.unsqueeze(1)
    context = ~offered & (place < ends)  # [B, T]
    visible = context.unsqueeze(1) & (offered.unsqueeze(1) | (place <= place.unsqueeze(1)))
    # Padding attends to itself, since a softmax needs at least one element.
    visible = visible | torch.eye(len(place), dtype=torch.bool, device=device)
    mask = torch.zeros(visible.shape, device=device).masked_fill(~visible, float("-inf")).unsqueeze(1)
    return Layout(mask, torch.where(offered, ends, place), ends.squeeze(1) - 1)


def gather(histories: Histories, places: Ints, candidates: Sequence[Ints], owners: Ints | None = None) -> Lists:
    """The context before each of `places`, cut as in serving, with its candidates as item indices.

    The histories are those of the events at `places`, whose weights the lists have; or those of `owners`, with weights
    of 1. An owner without a history has an empty context.
    """
    contexts = []
    of = histories.history[places] if owners is None else owners
    for place, owner in zip(places.tolist(), of.tolist(), strict=True):
        past = histories.sequences[owner] if 0 <= owner < len(histories.sequences) else np.zeros(0, np.int64)
        at = int(np.searchsorted(past, place))
        contexts.append(past[context_begin(at) : at])
    count, longest = len(places), max(1, *(len(one) for one in contexts))
    items, feelings, gaps = (np.zeros((count, longest), np.int64) for _ in range(3))
    offered = np.zeros((count, max(len(one) for one in candidates)), np.int64)
    real: NDArray[np.bool_] = np.zeros(offered.shape, np.bool_)
    for row, (context, some) in enumerate(zip(contexts, candidates, strict=True)):
        here = slice(0, len(context))
        items[row, here] = histories.item[context]
        feelings[row, here] = feeling_rows(histories.feeling[context])
        gaps[row, here] = histories.gaps(context)
        offered[row, : len(some)] = some
        real[row, : len(some)] = True
    lengths = np.array([len(one) for one in contexts], np.int64)
    weights = histories.weight[places] if owners is None else np.ones(count, np.float32)
    return Lists(*map(torch.from_numpy, (items, feelings, gaps, lengths, offered, real, weights)))
