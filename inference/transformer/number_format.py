"""Choose the fastest number format on this processor by timing it when the model is loaded.

bf16 takes half the time of fp32 on processors with bf16 instructions (AVX-512 with BF16, AMX), and several times as
long on others, which emulate it.
"""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from msgspec import structs
from torch import nn

from inference.errors import WeightsError
from inference.settings import DType, ModelSettings
from inference.transformer import cores
from inference.transformer.onednn import PackedLinear, can_pack

TORCH = {DType.BF16: torch.bfloat16, DType.FP32: torch.float32}
"""The torch type of each format."""

MOST_THREADS = 8
"""Default maximum: a pass of a few hundred rows has too little work for more."""

_ROWS = (101, 256)
"""Rows of the timed products: a list of 100 candidates, and a pass over texts."""
_ROUNDS = 5
_SECONDS = 0.6
"""Time limit for starting further rounds; at least two rounds always run."""


class Chosen(NamedTuple):
    """Settings with a chosen number format and number of threads, the reason, and the timings.

    `reason` is "set" for a format from the settings, "gpu", or "timed". `milliseconds` is the fastest round of one
    layer's matrix products over `_ROWS` rows; empty unless timed.
    """

    settings: ModelSettings
    reason: str
    milliseconds: Mapping[DType, float]

    def __str__(self) -> str:
        """One line for a log."""
        threads = f"{self.settings.threads} thread{'s' if self.settings.threads > 1 else ''}"
        if self.reason == "timed":
            took = ", ".join(f"{name.value} {ms:.1f} ms" for name, ms in sorted(self.milliseconds.items()))
            return f"{self.settings.dtype.value} on {threads}: the fastest here ({took} per layer)"
        why = {"set": "from the settings", "gpu": "the default on GPUs"}[self.reason]
        return f"{self.settings.dtype.value} on {threads}: {why}"


def choose(settings: ModelSettings, weights: Path) -> Chosen:
    """Resolve the automatic parts of `settings`: the number format (`auto`) and the threads (0).

    `weights` is a folder that `inference.transformer.weights.convert` made. Timing takes about a second, once per
    process. Raises `WeightsError` if the folder does not give the model's sizes.
    """
    threads = settings.threads or min(cores.available(), MOST_THREADS)
    settings = structs.replace(settings, threads=threads)
    if settings.dtype is not DType.AUTO:
        return Chosen(settings, "set", {})
    if settings.device != "cpu":
        return Chosen(structs.replace(settings, dtype=DType.BF16), "gpu", {})
    took = timings(*_sizes(weights), threads)
    return Chosen(structs.replace(settings, dtype=min(took, key=lambda name: took[name])), "timed", took)


@lru_cache
def timings(hidden: int, inner: int, threads: int) -> Mapping[DType, float]:
    """Milliseconds for the matrix products of one layer of these sizes in each format, on `threads` threads.

    Formats alternate, and the fastest round of each counts: other programs slow down single rounds, but rarely all of
    one format. Changes the number of torch threads of this process.
    """
    torch.set_num_threads(threads)
    return fastest({name: _layer(hidden, inner, kind) for name, kind in TORCH.items()})


def fastest(
    works: Mapping[DType, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> Mapping[DType, float]:
    """Milliseconds of the fastest round of each function."""
    found = dict.fromkeys(works, float("inf"))
    began = clock()
    for done in range(_ROUNDS):
        if done >= 2 and clock() - began > _SECONDS:
            break
        for name, work in works.items():
            start = clock()
            work()
            found[name] = min(found[name], 1000 * (clock() - start))
    return found


def _layer(hidden: int, inner: int, dtype: torch.dtype) -> Callable[[], object]:
    """The matrix products of one layer as the engine computes them: attention's square ones, gate, up, and down."""
    parts: list[nn.Module] = []
    for inputs, outputs in ((hidden, hidden), (hidden, hidden), (hidden, inner), (hidden, inner), (inner, hidden)):
        linear = nn.Linear(inputs, outputs, bias=False, dtype=dtype).requires_grad_(False)
        parts.append(PackedLinear(linear) if can_pack(linear.weight) else linear)
    given = [{size: torch.randn(rows, size, dtype=dtype) for size in (hidden, inner)} for rows in _ROWS]
    into = (hidden, hidden, hidden, hidden, inner)

    @torch.inference_mode()
    def work() -> None:
        for rows in given:
            for part, size in zip(parts, into, strict=True):
                part(rows[size])

    return work


def _sizes(weights: Path) -> tuple[int, int]:
    """The model's hidden size, and the inner size of its layers."""
    path = weights / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(f"{path}: {error}; run `ouzel triton build` again, or set dtype to bf16 or fp32") from None
    return config.hidden_size, config.intermediate_size or 4 * config.hidden_size


class _Config(msgspec.Struct):
    hidden_size: int
    intermediate_size: int | None = None
