"""GPU passes of a few fixed shapes, recorded once as CUDA graphs and replayed without launching each kernel.

A pass over one user's item tokens has some hundred kernels of a few microseconds each, so a GPU waits for Python to
launch them. A graph is launched as a whole, but has fixed shapes. Users, prefixes and candidates are therefore padded
to the next of a few sizes (a `Bucket`):

    user 1:  [prefix tokens .. padding][candidates .. padding]
    user 2:  [prefix tokens .. padding][candidates .. padding]

A row attends to itself and to earlier rows of its user's real prefix only, so no real row attends to padding. The masks
follow from each user's prefix length, which is an input of the graph. Each candidate is one token.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from inference.item_tokens.trunk import states
from inference.transformer.attention import group

_INSTRUCTION = 12
"""Tokens reserved for an instruction without steering."""


@dataclass(frozen=True, order=True)
class Bucket:
    """The shape of a pass: the number of users, and the rows per user for prefix and candidates."""

    users: int
    prefix: int
    candidates: int

    @property
    def each(self) -> int:
        """Rows per user."""
        return self.prefix + self.candidates

    @property
    def rows(self) -> int:
        return self.users * self.each


@dataclass(frozen=True)
class Ladder:
    """The available bucket sizes, each ascending. The default has 100 shapes.

    Prefix and candidates together are multiples of 16, as GPU attention kernels prefer.
    """

    users: tuple[int, ...] = (1, 2, 4, 8, 16)
    prefix: tuple[int, ...] = (16, 32, 64, 96, 160)
    candidates: tuple[int, ...] = (0, 32, 64, 128)

    def fit(self, sizes: Sequence[tuple[int, int]]) -> Bucket | None:
        """The smallest bucket for users of these (prefix, candidates) sizes; None if the largest is too small."""
        users = _step(self.users, len(sizes))
        prefix = _step(self.prefix, max((p for p, _ in sizes), default=0))
        candidates = _step(self.candidates, max((c for _, c in sizes), default=0))
        if users is None or prefix is None or candidates is None:
            return None
        return Bucket(users, prefix, candidates)

    def upto(self, events: int, candidates: int) -> Iterator[Bucket]:
        """The shapes of lists with up to this many events, after a short instruction, and candidates."""
        prefix = _step(self.prefix, events + _INSTRUCTION) or self.prefix[-1]
        most = _step(self.candidates, candidates) or self.candidates[-1]
        for p in self.prefix:
            for c in self.candidates:
                if p <= prefix and c <= most:
                    yield from (Bucket(users, p, c) for users in self.users)

    def groups(self, sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
        """Indices of users to run together: users of one shape, up to the size of the largest bucket.

        A user who fits no bucket is a group alone.
        """
        alike: dict[Bucket | None, list[int]] = {}
        for place, size in enumerate(sizes):
            alike.setdefault(self.fit([size]), []).append(place)
        for bucket, places in alike.items():
            most = 1 if bucket is None else self.users[-1]
            for begin in range(0, len(places), most):
                yield places[begin : begin + most]


@dataclass(frozen=True, eq=False)
class UserInput:
    """One user's input embeddings: `prefix` [P, H], at least one row, and `candidates` [C, H]."""

    prefix: Tensor
    candidates: Tensor

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.prefix), len(self.candidates)


@dataclass(frozen=True, eq=False)
class Grid:
    """The attention of a padded pass (`inference.transformer.attention.Attention`) with this number of `users`.

    `mask` is additive, [users, 1, G x T, T]: repeated for the G query heads that share a key head.
    """

    mask: Tensor
    users: int

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        heads, rows, size = query.shape
        queries, keys, values = (
            x.view(-1, self.users, rows // self.users, size).transpose(0, 1) for x in (query, key, value)
        )
        # Query heads that share a key head become extra rows of it, which avoids copies of the keys.
        queries = queries.reshape(self.users, key.shape[0], -1, size)
        found = scaled_dot_product_attention(queries, keys, values, attn_mask=self.mask, scale=scale)
        return found.reshape(self.users, heads, -1, size).transpose(0, 1).reshape(heads, rows, size)


def grid(lengths: Tensor, bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Positions int64 [users, T] and visibility bool [users, T, T], from prefix lengths int64 [users].

    A candidate's position is right after its user's prefix. Never synchronizes with the device.
    """
    place = torch.arange(bucket.each, device=lengths.device)
    positions = torch.minimum(place, lengths.unsqueeze(1))
    row, column = place.view(1, -1, 1), place.view(1, 1, -1)
    real = column < lengths.view(-1, 1, 1)
    return positions, (column == row) | (real & ((column <= row) | (row >= bucket.prefix)))


class Recorder(Protocol):
    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Run and record `work`. Returns a function that replays it on the same memory, and the tensor it writes."""


def cuda_recorder(device: torch.device) -> Recorder:
    """Record CUDA graphs that share one memory pool, since they never run concurrently."""
    pool: Any = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        # Warm up on a side stream: the lazy initialization of libraries must not be recorded.
        aside: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            found = work()
        return graph.replay, found

    return record


@dataclass(frozen=True, eq=False)
class _Shape:
    """A bucket's memory, and the function that runs a pass on it."""

    embeddings: Tensor
    lengths: Tensor
    run: Callable[[], Tensor]


class BucketedTrunk:
    """The first layers of a language model (`inference.item_tokens.trunk`), in passes of fixed shapes.

    With a `recorder`, each shape is recorded at its first use, and at most `max_shapes` are cached (LRU); each takes
    2 x rows x hidden numbers for its input and output. Without one, the same passes run unrecorded. Not thread-safe.
    """

    def __init__(
        self, trunk: Any, ladder: Ladder = Ladder(), recorder: Recorder | None = None, max_shapes: int = 128
    ) -> None:
        if max_shapes < 1:
            raise ValueError("max_shapes must be 1 or more")
        weight = trunk.embed_tokens.weight
        self.ladder = ladder
        self._trunk = trunk
        self._recorder = recorder
        self._max_shapes = max_shapes
        self._group = group(trunk.config)
        self._hidden, self._dtype, self._device = weight.shape[1], weight.dtype, weight.device
        self._shapes: OrderedDict[Bucket, _Shape] = OrderedDict()

    @property
    def shapes(self) -> int:
        """The number of cached shapes."""
        return len(self._shapes)

    @torch.inference_mode()
    def prepare(self, events: int, candidates: int) -> None:
        """Record the shapes of lists with up to this many events and candidates ahead of the first request."""
        for bucket in self.ladder.upto(events, candidates):
            self._shape(bucket)

    @torch.inference_mode()
    def run(self, users: Sequence[UserInput]) -> list[Tensor]:
        """The last hidden states of each user's real rows, prefix first: [P + C, H] each.

        Raises `ValueError` for users who fit no bucket: group them with `ladder.groups` first.
        """
        bucket = self.ladder.fit([user.sizes for user in users])
        if bucket is None:
            raise ValueError(f"{len(users)} users of {max(p.sizes for p in users)} rows fit no bucket")
        shape = self._shape(bucket)
        filled = shape.embeddings.view(bucket.users, bucket.each, self._hidden)
        lengths = torch.zeros(bucket.users, dtype=torch.int64)
        for at, user in enumerate(users):
            prefix, candidates = user.sizes
            lengths[at] = prefix
            filled[at, :prefix] = user.prefix
            filled[at, bucket.prefix : bucket.prefix + candidates] = user.candidates
        shape.lengths.copy_(lengths, non_blocking=True)
        found = shape.run().view(bucket.users, bucket.each, self._hidden)
        # Copies: the next pass of this shape overwrites the output.
        return [
            torch.cat((found[at, :prefix], found[at, bucket.prefix : bucket.prefix + candidates]))
            for at, (prefix, candidates) in enumerate(user.sizes for user in users)
        ]

    def _shape(self, bucket: Bucket) -> _Shape:
        found = self._shapes.get(bucket)
        if found is None:
            while len(self._shapes) >= self._max_shapes:
                self._shapes.popitem(last=False)
            found = self._shapes[bucket] = self._create(bucket)
        self._shapes.move_to_end(bucket)
        return found

    def _create(self, bucket: Bucket) -> _Shape:
        # Padding must stay finite, since zero times infinity is NaN: it starts as zeros and later holds older inputs.
        embeddings = torch.zeros(bucket.rows, self._hidden, dtype=self._dtype, device=self._device)
        lengths = torch.ones(bucket.users, dtype=torch.int64, device=self._device)

        def work() -> Tensor:
            positions, visible = grid(lengths, bucket)
            mask = torch.zeros_like(visible, dtype=self._dtype).masked_fill_(~visible, float("-inf"))
            attention = Grid(mask.repeat(1, self._group, 1).unsqueeze(1), bucket.users)
            return states(self._trunk, embeddings, positions.flatten(), attention)

        if self._recorder is None:
            return _Shape(embeddings, lengths, work)
        replay, found = self._recorder(work)

        def run() -> Tensor:
            replay()
            return found

        return _Shape(embeddings, lengths, run)


def _step(sizes: Sequence[int], wanted: int) -> int | None:
    return next((size for size in sizes if size >= wanted), None)
