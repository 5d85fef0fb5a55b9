"""Packing: the position and visibility of every token of a pass. Pure: token ids in, arrays out.

One user's part of a pass is

    [cached prefix] | rest of the prefix, tail | candidate 1 | ... | candidate N

The cached prefix is not computed again: its keys and values come from the prefix cache, so it has columns but no rows.
A token of a candidate attends to the whole prefix and to earlier tokens of the same candidate, and its positions
continue from the end of the prefix. Each candidate therefore has the same outputs as in a separate pass ("multi-item
scoring" in SGLang and FlashInfer, candidate isolation in HSTU's M-FALCON).
Parts of several users are concatenated in one pass and never attend to each other. Tokens can be text tokens or item
tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PREFIX = -1


@dataclass(frozen=True)
class Prompt:
    """One user's prompt as token ids.

    `prefix` has at least one token; its first `stable` tokens also start the user's next prompt and are worth caching.
    Each candidate has at least one token.
    """

    prefix: tuple[int, ...]
    stable: int
    candidates: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of one user's R rows of a pass, after `kept` cached tokens of the prefix.

    `positions` and `owner` are int64 [R]; `owner` is `PREFIX` or the index of the row's candidate. `visible` is bool
    [R, kept + R]: whether a row attends to a column. `stable` is the number of prefix tokens worth caching.
    """

    kept: int
    stable: int
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]
    visible: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, eq=False)
class Part:
    """One user's tokens in a pass, and their layout.

    `ids` are int64 [R]. A candidate's last token is only predicted, so it has no row. `predictors` and `targets` are
    int64 [K], one per token of each candidate in order: the row that predicts it, and the token. `lengths` [N] are the
    numbers of tokens of the candidates.
    """

    layout: Layout
    ids: NDArray[np.int64]
    predictors: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def lay(prefix: int, sizes: Sequence[int], kept: int = 0, stable: int = 0) -> Layout:
    """The layout of a prefix of `prefix` tokens and candidates of these `sizes` (rows, each 0 or more).

    `kept` tokens of the prefix are cached: never the last, which predicts the first tokens of the candidates.
    """
    if not 0 <= kept < prefix:
        raise ValueError(f"{kept} cached tokens in a prefix of {prefix}")
    counts = np.array([prefix - kept, *sizes])
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    owner = np.repeat(np.arange(PREFIX, len(sizes)), counts)
    rows = np.arange(len(owner))
    firsts = np.concatenate([[kept], np.full(len(sizes), prefix)])
    positions = rows + np.repeat(firsts - begins, counts)
    columns = np.concatenate([np.full(kept, PREFIX), owner])
    earlier = np.arange(len(columns))[None, :] <= (kept + rows)[:, None]
    visible = earlier & ((columns == PREFIX)[None, :] | (columns[None, :] == owner[:, None]))
    return Layout(kept, stable, positions, owner, visible)


def pack(prompt: Prompt, kept: int) -> Part:
    """One user's part of a pass, with `kept` cached tokens of the prefix."""
    layout = lay(len(prompt.prefix), [len(c) - 1 for c in prompt.candidates], kept, prompt.stable)
    runs = [prompt.prefix[kept:], *(candidate[:-1] for candidate in prompt.candidates)]
    ids = np.fromiter((token for run in runs for token in run), dtype=np.int64)
    ends = np.cumsum([len(run) for run in runs])
    tail = ends[0] - 1
    predictors = np.concatenate([np.zeros(0, np.int64), *([tail, *range(b, e)] for b, e in pairwise(ends))]).astype(
        np.int64
    )
    targets = np.fromiter((token for candidate in prompt.candidates for token in candidate), dtype=np.int64)
    return Part(layout, ids, predictors, targets, np.array([len(c) for c in prompt.candidates], np.int64))


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the longest common prefix of two token sequences."""
    limit = min(len(left), len(right))
    return next((i for i in range(limit) if left[i] != right[i]), limit)
