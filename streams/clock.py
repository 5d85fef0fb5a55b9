"""The clock, passed in wherever time matters, so that tests can hold it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """`now_ms` is wall time in milliseconds since 1970, for what people see and what is written down; `monotonic` is
    seconds that never step back, for deadlines and durations."""

    now_ms: Callable[[], int]
    monotonic: Callable[[], float]


SYSTEM = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic)
