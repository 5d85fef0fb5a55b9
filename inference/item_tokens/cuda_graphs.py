"""Passes of a few fixed shapes, for a GPU: recorded once as CUDA graphs, then replayed without launching each kernel.

A pass over one person's item tokens has some hundred kernels of a few microseconds each, so a GPU waits for Python to
launch them. A graph is launched as one, but has fixed shapes. So people, prefixes and candidates are filled up to the
next of a few sizes (a `Bucket`):

    person 1:  [prefix tokens .. filled up][candidates .. filled up]
    person 2:  [prefix tokens .. filled up][candidates .. filled up]

A row sees itself and its person's real prefix as far as it stands there, and nothing else; so what fills up is seen by
no real row. All follows from each person's prefix length, which is an input of the graph. Each candidate is one token.
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
"""Tokens that are allowed for an instruction without wishes."""


@dataclass(frozen=True, order=True)
class Bucket:
    """The shape of a pass: so many people, each with so many rows for the prefix and for candidates."""

    people: int
    prefix: int
    candidates: int

    @property
    def each(self) -> int:
        """Rows of one person."""
        return self.prefix + self.candidates

    @property
    def rows(self) -> int:
        return self.people * self.each


@dataclass(frozen=True)
class Ladder:
    """The sizes that buckets are made of, each ascending. The default is 100 shapes.

    Prefixes and candidates are multiples of 16 together, which the attention kernels of GPUs are made for.
    """

    people: tuple[int, ...] = (1, 2, 4, 8, 16)
    prefix: tuple[int, ...] = (16, 32, 64, 96, 160)
    candidates: tuple[int, ...] = (0, 32, 64, 128)

    def fit(self, sizes: Sequence[tuple[int, int]]) -> Bucket | None:
        """The least bucket that holds people of these (prefix, candidates); None where the greatest does not."""
        people = _step(self.people, len(sizes))
        prefix = _step(self.prefix, max((p for p, _ in sizes), default=0))
        candidates = _step(self.candidates, max((c for _, c in sizes), default=0))
        if people is None or prefix is None or candidates is None:
            return None
        return Bucket(people, prefix, candidates)

    def upto(self, events: int, candidates: int) -> Iterator[Bucket]:
        """The shapes of lists with up to so many events, a short instruction before them, and candidates."""
        prefix = _step(self.prefix, events + _INSTRUCTION) or self.prefix[-1]
        most = _step(self.candidates, candidates) or self.candidates[-1]
        for p in self.prefix:
            for c in self.candidates:
                if p <= prefix and c <= most:
                    yield from (Bucket(people, p, c) for people in self.people)

    def groups(self, sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
        """Places of people to be run together: those of one shape, as many as the greatest bucket holds.

        Somebody who fits no bucket comes alone.
        """
        alike: dict[Bucket | None, list[int]] = {}
        for place, size in enumerate(sizes):
            alike.setdefault(self.fit([size]), []).append(place)
        for bucket, places in alike.items():
            most = 1 if bucket is None else self.people[-1]
            for begin in range(0, len(places), most):
                yield places[begin : begin + most]


@dataclass(frozen=True, eq=False)
class Person:
    """One person's input embeddings: `prefix` [P, H], at least one row, and `candidates` [C, H]."""

    prefix: Tensor
    candidates: Tensor

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.prefix), len(self.candidates)


@dataclass(frozen=True, eq=False)
class Grid:
    """The attention of a filled-up pass (`inference.transformer.attention.Attention`) of so many `people`.

    `mask` is additive, [people, 1, G x T, T]: repeated for the G query heads that share a key head.
    """

    mask: Tensor
    people: int

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        heads, rows, size = query.shape
        queries, keys, values = (
            x.view(-1, self.people, rows // self.people, size).transpose(0, 1) for x in (query, key, value)
        )
        # The query heads that share a key head are laid out as more rows of it: no copy of the keys.
        queries = queries.reshape(self.people, key.shape[0], -1, size)
        found = scaled_dot_product_attention(queries, keys, values, attn_mask=self.mask, scale=scale)
        return found.reshape(self.people, heads, -1, size).transpose(0, 1).reshape(heads, rows, size)


def grid(lengths: Tensor, bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Positions int64 [people, T] and what sees what, bool [people, T, T], from prefix lengths int64 [people].

    A candidate stands right after its person's prefix. Nothing here waits for the device.
    """
    place = torch.arange(bucket.each, device=lengths.device)
    positions = torch.minimum(place, lengths.unsqueeze(1))
    row, column = place.view(1, -1, 1), place.view(1, 1, -1)
    real = column < lengths.view(-1, 1, 1)
    return positions, (column == row) | (real & ((column <= row) | (row >= bucket.prefix)))


class Recorder(Protocol):
    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Run `work` and keep it. Returns what runs it again on the same memory, and the tensor that it writes."""


def cuda_recorder(device: torch.device) -> Recorder:
    """Records CUDA graphs that share one pool of memory, since they never run at once."""
    pool: Any = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        # Libraries set themselves up at their first runs, which must not be recorded, on a stream of their own.
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
    """A bucket's memory, and what runs a pass on it."""

    embeddings: Tensor
    lengths: Tensor
    run: Callable[[], Tensor]


class BucketedTrunk:
    """The first layers of a language model (`inference.item_tokens.trunk`), in passes of fixed shapes.

    With a `recorder` each shape is recorded at its first use, and at most `max_shapes` are held, least recently used
    out; one holds its inputs and its output, 2 x rows x hidden numbers. Without one the same passes run as they are.
    Not thread-safe.
    """

    def __init__(
        self, trunk: Any, ladder: Ladder = Ladder(), recorder: Recorder | None = None, max_shapes: int = 128
    ) -> None:
        if max_shapes < 1:
            raise ValueError("at least one shape has to be held: max_shapes must be 1 or more")
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
        """How many are held."""
        return len(self._shapes)

    @torch.inference_mode()
    def prepare(self, events: int, candidates: int) -> None:
        """Record the shapes of lists with up to so many events and candidates, before anybody waits for them."""
        for bucket in self.ladder.upto(events, candidates):
            self._shape(bucket)

    @torch.inference_mode()
    def run(self, people: Sequence[Person]) -> list[Tensor]:
        """The last hidden states of each person's real rows, prefix first: [P + C, H] each.

        Raises `ValueError` for people who fit no bucket: ask `ladder.groups` first.
        """
        bucket = self.ladder.fit([person.sizes for person in people])
        if bucket is None:
            raise ValueError(f"{len(people)} people of {max(p.sizes for p in people)} rows fit no bucket")
        shape = self._shape(bucket)
        filled = shape.embeddings.view(bucket.people, bucket.each, self._hidden)
        lengths = torch.zeros(bucket.people, dtype=torch.int64)
        for at, person in enumerate(people):
            prefix, candidates = person.sizes
            lengths[at] = prefix
            filled[at, :prefix] = person.prefix
            filled[at, bucket.prefix : bucket.prefix + candidates] = person.candidates
        shape.lengths.copy_(lengths, non_blocking=True)
        found = shape.run().view(bucket.people, bucket.each, self._hidden)
        # Copies: the next pass of this shape writes over what this one found.
        return [
            torch.cat((found[at, :prefix], found[at, bucket.prefix : bucket.prefix + candidates]))
            for at, (prefix, candidates) in enumerate(person.sizes for person in people)
        ]

    def _shape(self, bucket: Bucket) -> _Shape:
        found = self._shapes.get(bucket)
        if found is None:
            while len(self._shapes) >= self._max_shapes:
                self._shapes.popitem(last=False)
            found = self._shapes[bucket] = self._made(bucket)
        self._shapes.move_to_end(bucket)
        return found

    def _made(self, bucket: Bucket) -> _Shape:
        # Zeros once, and later what was there before: finite, since a weight of zero times infinity is not zero.
        embeddings = torch.zeros(bucket.rows, self._hidden, dtype=self._dtype, device=self._device)
        lengths = torch.ones(bucket.people, dtype=torch.int64, device=self._device)

        def work() -> Tensor:
            positions, visible = grid(lengths, bucket)
            mask = torch.zeros_like(visible, dtype=self._dtype).masked_fill_(~visible, float("-inf"))
            attention = Grid(mask.repeat(1, self._group, 1).unsqueeze(1), bucket.people)
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
