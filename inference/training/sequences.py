"""Pieces of histories as network input: the events, their order, and the target of each position.

In serving, a context starts at a multiple of STRIDE events of a history and holds at most WINDOW events, so it moves in
steps. Training cuts histories at random positions into pieces of up to WINDOW events; each event is the target of the
state before it. The order of events of the same second is unknown, so each training pass shuffles them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.item_tokens.heads import feeling_rows
from inference.training.histories import Histories, Ints

WINDOW = 50
STRIDE = 25
SECOND_MS = 1000


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive events of one history: their `places` in the stream, and the events `before` them."""

    places: Ints
    before: Ints


@dataclass(frozen=True, eq=False)
class Batch:
    """B pieces of up to L events. `items`, `feelings` (rows) and `gaps` are int64 [B, L], 0 beyond a piece's end.

    `weights` float32 [B, L] are the weights of events as targets: 0 beyond the end, and for items that the user has met
    before, since lists leave them out. `met` int32 [B, items] is the first position of the item in the piece, -1 if met
    before the piece, L if not met: a list before position j leaves out the items with `met < j`.
    """

    items: Tensor
    feelings: Tensor
    gaps: Tensor
    weights: Tensor
    met: Tensor

    def to(self, device: torch.device) -> "Batch":
        found = (self.items, self.feelings, self.gaps, self.weights, self.met)
        return Batch(*(one.to(device) for one in found))


def pieces(
    histories: Histories, cut: int, rng: np.random.Generator, *, since: int = 0, window: int = WINDOW
) -> list[Piece]:
    """The first `cut` events of the stream in pieces; only pieces with an event at or after `since`."""
    found = []
    for sequence in histories.sequences:
        places = sequence[: np.searchsorted(sequence, cut)]
        if not len(places) or places[-1] < since:
            continue
        seconds = histories.ts[places] // SECOND_MS
        places = places[np.lexsort((rng.random(len(places)), seconds))]
        first = int(rng.integers(1, window + 1)) if len(places) > window else len(places)
        for begin, end in _spans(len(places), first, window):
            if places[begin:end].max() >= since:
                found.append(Piece(places[begin:end], places[:begin]))
    return found


def batches(found: Sequence[Piece], size: int, rng: np.random.Generator) -> Iterator[list[Piece]]:
    """The pieces in batches of `size` with similar lengths, in random order."""
    lengths = np.array([len(piece.places) for piece in found])
    order = np.argsort(-lengths - rng.random(len(found)) * 8, kind="stable")
    starts = np.arange(0, len(found), size)
    rng.shuffle(starts)
    for start in starts.tolist():
        yield [found[at] for at in order[start : start + size].tolist()]


def batch(histories: Histories, found: Sequence[Piece], unliked: float) -> Batch:
    """Pieces as tensors. Events that are not likes have the weight `unliked`."""
    length = max(len(piece.places) for piece in found)
    shape = (len(found), length)
    items, feelings, gaps = (np.zeros(shape, np.int64) for _ in range(3))
    weights = np.zeros(shape, np.float32)
    met = np.full((len(found), len(histories.items)), length, np.int32)
    for row, piece in enumerate(found):
        places = piece.places
        here = slice(0, len(places))
        named = histories.item[places]
        items[row, here] = named
        feelings[row, here] = feeling_rows(histories.feeling[places])
        gaps[row, here] = histories.gaps(places)
        met[row, named[::-1]] = np.arange(len(places), dtype=np.int32)[::-1]
        met[row, histories.item[piece.before]] = -1
        counts = np.where(histories.feeling[places] > 0, 1.0, unliked) * histories.weight[places]
        weights[row, here] = np.where(met[row, named] == np.arange(len(places)), counts, 0.0)
    return Batch(*map(torch.from_numpy, (items, feelings, gaps, weights, met)))


@dataclass(frozen=True, eq=False)
class Reading:
    """Events whose contexts are read in one pass: the context of `places[skip + k]` is `places[:skip + k]`."""

    places: Ints
    skip: int


def readings(histories: Histories, wanted: NDArray[np.bool_]) -> list[Reading]:
    """The passes that compute the context before each wanted event, cut as in serving."""
    found = []
    for sequence in histories.sequences:
        at = 0
        asked = np.flatnonzero(wanted[sequence])
        while at < len(asked):
            first = int(asked[at])
            begin = context_begin(first)
            last = begin + WINDOW  # the last event whose context begins here
            upto = int(np.searchsorted(asked, last, side="right"))
            found.append(Reading(sequence[begin : int(asked[upto - 1]) + 1], first - begin))
            at = upto
    return found


def context_begin(count: int) -> int:
    """The start of the context of a user with `count` events in a scene."""
    return max(0, -(-(count - WINDOW) // STRIDE) * STRIDE)


def _spans(count: int, first: int, window: int) -> Iterator[tuple[int, int]]:
    yield 0, min(first, count)
    for begin in range(first, count, window):
        yield begin, min(begin + window, count)
