"""The learned parts around the language model: what an item's reading becomes, and what a state says of items.

Shapes: R is the length of a reading, H the hidden size of the language model, D the width of item vectors. A context
vector has D + 1 numbers, the last of them 1; an item vector D + 1, the last its bias: their dot product is the
retrieval logit. Calibration makes it the log-odds of a like: `slope` and `offset` change no order.
"""

import math
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

GAPS = 12
"""Buckets of the time between two events of a person, powers of 4 seconds: up to a second, 4 s, ... 48 days, more."""

FEELINGS = 5
"""What a person thought of an item, from disliked much (-2) over met (0) to liked much (2)."""

INSTRUCTION = "What will this person like next?"
"""What every context begins with, in the language model's own tokens."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sizes of an adapter. `layers` are the first of the base model; `rank` is that of LoRA in each of them.
    `tower` is the width of `inference.item_tokens.tower`; 0 is none."""

    hidden: Annotated[int, Meta(ge=1, le=16_384)]
    reading: Annotated[int, Meta(ge=1, le=65_536)]
    layers: Annotated[int, Meta(ge=1, le=256)]
    rank: Annotated[int, Meta(ge=0, le=256)] = 16
    width: Annotated[int, Meta(ge=1, le=1_024)] = 128
    middle: Annotated[int, Meta(ge=1, le=4_096)] = 256
    residual: Annotated[int, Meta(ge=0, le=1_024)] = 64
    tower: Annotated[int, Meta(ge=0, le=1_024)] = 0

    @property
    def vector(self) -> int:
        """Numbers of an item's or a context's vector: those of the text, the bias, those of the tower."""
        return self.width + 1 + self.tower


class Heads(nn.Module):
    """Everything that is learned, except LoRA and what belongs to single items (`inference.item_tokens.residuals`)."""

    mean: Tensor
    scale: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, shape: Shape, scale: float = 0.1) -> None:
        """`scale` is the root mean square of the language model's own embeddings, which item tokens start out with."""
        super().__init__()
        self.shape = shape
        h, r, d = shape.hidden, shape.reading, shape.width
        self.register_buffer("mean", torch.zeros(r))
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("slope", torch.tensor(1.0))
        self.register_buffer("offset", torch.tensor(0.0))
        self.project = nn.Linear(r, h, bias=False)
        self.feeling = nn.Embedding(FEELINGS, h)
        self.gap = nn.Embedding(GAPS, h)
        self.candidate = nn.Parameter(torch.zeros(h))
        self.item = nn.Sequential(nn.Linear(r, shape.middle), nn.GELU(), nn.Linear(shape.middle, d))
        self.bias = nn.Linear(r, 1, bias=False)
        self.norm = nn.LayerNorm(h)
        self.context = nn.Linear(h, d)
        self.temperature = nn.Parameter(torch.tensor(-0.5 * math.log(d)))
        self.correct_norm = nn.LayerNorm(h)
        self.correct = nn.Linear(h, 1)
        nn.init.normal_(self.project.weight, std=1 / math.sqrt(r))
        nn.init.normal_(self.feeling.weight, std=0.5)
        nn.init.normal_(self.gap.weight, std=0.2)
        for zero in (self.bias.weight, self.correct.weight, self.correct.bias):
            nn.init.zeros_(zero)

    def centred(self, readings: Tensor) -> Tensor:
        """Raw readings [n, 2, R / 2] as the other methods take them, [n, R]: each half centred and of one length."""
        halves = readings.float().flatten(1) - self.mean
        halves = functional.normalize(halves.view(len(readings), 2, -1), dim=-1)
        return halves.flatten(1) * math.sqrt(self.shape.reading / 2)

    def tokens(self, readings: Tensor, residuals: Tensor | None = None) -> Tensor:
        """Items as input embeddings, before what the person did with them: [n, R] to [n, H]. `residuals` is [n, H]."""
        found: Tensor = self.project(readings)
        return found if residuals is None else found + residuals

    def events(self, tokens: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        """What a person did, as the language model takes it: [..., H]. `feelings` are rows as `feeling_rows` gives
        them, `gaps` are buckets."""
        found: Tensor = (tokens + self.feeling(feelings) + self.gap(gaps)) * self.scale
        return found

    def candidates(self, tokens: Tensor) -> Tensor:
        """Candidates as the language model takes them: [..., H]."""
        return (tokens + self.candidate) * self.scale

    def vectors(self, readings: Tensor, residuals: Tensor | None = None) -> Tensor:
        """Item vectors [n, D + 1]. `residuals`, of the same shape, are added."""
        found = torch.cat((self.item(readings), self.bias(readings)), dim=-1)
        if residuals is not None:
            found = found + residuals
        return torch.cat((found[..., :-1], self.slope * found[..., -1:] + self.offset), dim=-1)

    def contexts(self, states: Tensor) -> Tensor:
        """Context vectors [..., D + 1] of last hidden states [..., H]."""
        found = self.context(self.norm(states.float())) * (self.temperature.exp() * self.slope)
        return torch.cat((found, torch.ones_like(found[..., :1])), dim=-1)

    def corrections(self, states: Tensor) -> Tensor:
        """What a candidate's own state adds to its retrieval logit: [..., H] to [...]."""
        found: Tensor = self.correct(self.correct_norm(states.float()))
        return found.squeeze(-1) * self.slope

    def calibrate(self, slope: float, offset: float) -> None:
        """Have logits be `slope` (above 0) times what they were trained as, plus `offset`; (1, 0) undoes it."""
        if not slope > 0:
            raise ValueError(f"a slope of {slope} would turn the order round")
        self.slope.fill_(slope)
        self.offset.fill_(offset)


def feeling_rows(feelings: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that stand for feelings of -2 to 2 (what is beyond is taken for these): 0 to FEELINGS - 1."""
    return np.asarray(feelings, np.int64).clip(-(FEELINGS // 2), FEELINGS // 2) + FEELINGS // 2


def gap_buckets(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each time since the event before, 0 to GAPS - 1. NaN or infinity (no event before) is the last."""
    sane = np.nan_to_num(np.asarray(seconds, np.float64), nan=np.inf, posinf=1e18).clip(0.0, 1e18)
    return (np.log(sane + 1.0) / math.log(4.0)).astype(np.int64).clip(0, GAPS - 1)
