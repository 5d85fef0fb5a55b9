"""The learned heads around the language model: from readings to tokens and vectors, and from states to scores.

Shapes: R is the length of a reading, H the hidden size of the language model, D the width of item vectors. A context
vector has D + 1 numbers, the last of them 1; an item vector D + 1, the last its bias: their dot product is the
retrieval logit. Calibration turns it into the log-odds of a like: `slope` and `offset` preserve the order.
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
"""Buckets of the time between two events of a user, in powers of 4 seconds: up to a second, 4 s, ... 48 days, more."""

FEELINGS = 5
"""Levels of feeling about an item, from strongly disliked (-2) over seen (0) to strongly liked (2)."""

INSTRUCTION = "What will this person like next?"
"""The start of every context, in text tokens of the language model."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sizes of an adapter. `layers` is the number of base model layers, from the first; `rank` is the LoRA rank in
    each of them; `tower` is the width of `inference.item_tokens.tower`, 0 for none."""

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
        """The length of item and context vectors: text, bias, and tower."""
        return self.width + 1 + self.tower


class Heads(nn.Module):
    """All learned parameters, except LoRA and the residuals of single items (`inference.item_tokens.residuals`)."""

    mean: Tensor
    scale: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, shape: Shape, scale: float = 0.1) -> None:
        """`scale` is the root mean square of the language model's embeddings: the initial scale of item tokens."""
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
        """Normalize raw readings [n, 2, R / 2] to [n, R], as the other methods expect: centre and scale each half."""
        halves = readings.float().flatten(1) - self.mean
        halves = functional.normalize(halves.view(len(readings), 2, -1), dim=-1)
        return halves.flatten(1) * math.sqrt(self.shape.reading / 2)

    def tokens(self, readings: Tensor, residuals: Tensor | None = None) -> Tensor:
        """Items as input embeddings, without the user's event: [n, R] to [n, H]. `residuals` is [n, H]."""
        found: Tensor = self.project(readings)
        return found if residuals is None else found + residuals

    def events(self, tokens: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        """A user's events as input embeddings: [..., H]. `feelings` are rows from `feeling_rows`, `gaps` are
        buckets."""
        found: Tensor = (tokens + self.feeling(feelings) + self.gap(gaps)) * self.scale
        return found

    def candidates(self, tokens: Tensor) -> Tensor:
        """Candidates as input embeddings: [..., H]."""
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
        """The correction that a candidate's state adds to its retrieval logit: [..., H] to [...]."""
        found: Tensor = self.correct(self.correct_norm(states.float()))
        return found.squeeze(-1) * self.slope

    def calibrate(self, slope: float, offset: float) -> None:
        """Transform logits to `slope` (above 0) times the trained logit, plus `offset`; (1, 0) undoes it."""
        if not slope > 0:
            raise ValueError(f"a slope of {slope} would reverse the order: use one above 0")
        self.slope.fill_(slope)
        self.offset.fill_(offset)


def feeling_rows(feelings: NDArray[np.int64]) -> NDArray[np.int64]:
    """The embedding rows of feelings, 0 to FEELINGS - 1. Feelings are clipped to -2 to 2."""
    return np.asarray(feelings, np.int64).clip(-(FEELINGS // 2), FEELINGS // 2) + FEELINGS // 2


def gap_buckets(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each time since the previous event, 0 to GAPS - 1. NaN or infinity (none) is the last bucket."""
    sane = np.nan_to_num(np.asarray(seconds, np.float64), nan=np.inf, posinf=1e18).clip(0.0, 1e18)
    return (np.log(sane + 1.0) / math.log(4.0)).astype(np.int64).clip(0, GAPS - 1)
