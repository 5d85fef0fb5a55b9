"""Which number format a model runs fastest in on this processor: timed when the model is loaded, not assumed.

bf16 takes half the time of fp32 on processors that multiply in it (AVX-512 with BF16, AMX), and several times as long
on others, where each product is emulated.
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
"""What torch calls each format."""

MOST_THREADS = 8
"""More are a setting: a pass of some hundred rows has too little work for them."""

_ROWS = (101, 256)
"""Rows of the products that are timed: a list of 100 candidates, and a pass over texts."""
_ROUNDS = 5
_SECONDS = 0.6
"""Of timing, after which no further round begins; two rounds are always made."""


class Chosen(NamedTuple):
    """Settings with a number format and a number of threads, why the format is that, and what each took.

    `reason` is "set" for a format that the settings named, "gpu", or "timed". `milliseconds` are of one layer's
    matrix products over `_ROWS` rows, the fastest round; empty unless timed.
    """

    settings: ModelSettings
    reason: str
    milliseconds: Mapping[DType, float]

    def __str__(self) -> str:
        """One line for a log."""
        threads = f"{self.settings.threads} thread{'s' if self.settings.threads > 1 else ''}"
        if self.reason == "timed":
            took = ", ".join(f"{name.value} {ms:.1f} ms" for name, ms in sorted(self.milliseconds.items()))
            return f"{self.settings.dtype.value} on {threads}: the fastest here ({took} a layer)"
        why = {"set": "the settings name it", "gpu": "the format of GPUs"}[self.reason]
        return f"{self.settings.dtype.value} on {threads}: {why}"


def choose(settings: ModelSettings, weights: Path) -> Chosen:
    """Settle what `settings` leave open: the number format (`auto`) and the threads (0).

    `weights` is a folder that `inference.transformer.weights.convert` made. Timing takes about a second, once in a
    process. Raises `WeightsError` where the folder says nothing of the model's sizes.
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
    """Milliseconds of the products of one layer of these sizes in each format, on `threads` threads.

    The formats take turns, and each counts with its fastest round: other programs on the processor slow down single
    rounds, and rarely all of one format's. Changes this process's number of torch threads.
    """
    torch.set_num_threads(threads)
    return fastest({name: _layer(hidden, inner, kind) for name, kind in TORCH.items()})


def fastest(
    works: Mapping[DType, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> Mapping[DType, float]:
    """The milliseconds of each work's fastest round."""
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
    """The products of one layer, as the engine makes them: attention's square ones, gate, up, and down."""
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
    """The width of the model's states, and of its layers' inner ones."""
    path = weights / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(f"{path}: {error}; run `ouzel triton build` again, or set dtype to bf16 or fp32") from None
    return config.hidden_size, config.intermediate_size or 4 * config.hidden_size


class _Config(msgspec.Struct):
    hidden_size: int
    intermediate_size: int | None = None
