"""The speed of this machine, measured in the same run as the figures compared with it."""

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def once(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds of one call, and its result."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def timed(work: Callable[[], object], repeats: int = 5, device: str = "cpu") -> float:
    """The median seconds of a call, after a warm-up call."""
    taken = []
    for number in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize(device)
        if number:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def matrix_rate(dtype: torch.dtype = torch.bfloat16, size: int = 2048, device: str = "cpu", repeats: int = 5) -> float:
    """Floating-point operations a second in the product of two square matrices of `size`: the best of `repeats`."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    fastest = min(timed(lambda: left @ right, 1, device) for _ in range(repeats))
    return 2 * size**3 / fastest
