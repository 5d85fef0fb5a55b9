"""Packing: where every token of a pass stands, and what it may see. Pure: token ids in, arrays out.

One person's part of a pass is

    [kept prefix] | rest of the prefix, tail | candidate 1 | ... | candidate N

The kept prefix is not computed again: its keys and values come from the prefix cache, so it has columns and no rows. A
token of a candidate sees the whole prefix and the earlier tokens of its own candidate, and its positions go on from the
end of the prefix as if it were the only candidate. So each candidate's outputs are those of a pass of its own
("multi-item scoring" in SGLang and FlashInfer, candidate isolation in HSTU's M-FALCON).
Several people's parts stand one after another in one pass and never see each other. It is the same whether a token is
one of text or the one of an item.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PREFIX = -1


@dataclass(frozen=True)
class Prompt:
    """What the model reads for one person, as token ids.

    `prefix` has at least one token; its first `stable` stay in the person's next prompt and are worth keeping. Each
    candidate has at least one token.
    """

    prefix: tuple[int, ...]
    stable: int
    candidates: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where one person's R rows of a pass stand, after `kept` tokens of the prefix that are not computed again.

    `positions` and `owner` are int64 [R]; `owner` is `PREFIX` or the index of the row's candidate. `visible` is bool
    [R, kept + R]: whether a row sees a column. `stable` is how much of the prefix is worth keeping.
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
    """One person's tokens in a pass, and how they are laid out.

    `ids` are int64 [R]. A candidate's last token is predicted but not read, so it has no row. `predictors` and
    `targets` are int64 [K], one for each token of each candidate in order: the row that predicts it, and the token.
    `lengths` [N] says how many belong to each candidate.
    """

    layout: Layout
    ids: NDArray[np.int64]
    predictors: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def lay(prefix: int, sizes: Sequence[int], kept: int = 0, stable: int = 0) -> Layout:
    """How a prefix of so many tokens and candidates of these `sizes` (rows, each 0 or more) are laid out.

    `kept` tokens of the prefix are in the cache: all but the last at most, which predicts what comes first.
    """
    if not 0 <= kept < prefix:
        raise ValueError(f"{kept} tokens kept of a prefix of {prefix}")
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
    """One person's part of a pass, `kept` tokens of whose prefix are in the cache."""
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
