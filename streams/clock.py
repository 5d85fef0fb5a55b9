"""The clock, passed in wherever time matters, so that tests control it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """`now_ms` is wall time in milliseconds since 1970, for texts that users see and for stored times. `monotonic` is
    seconds that never step back, for deadlines and durations. `sleep` waits for that many seconds of it."""

    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic)
