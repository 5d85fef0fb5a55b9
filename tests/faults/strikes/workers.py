"""Faults of workers: killed, stopped, frozen until evicted from the group, and others joining and leaving."""

import asyncio
import signal
import time
from random import Random

from tests.faults.schedule import Fault
from tests.faults.stage import Stage

MAX_COMING_BACK = 6.0
"""Repeated kills come within this many seconds of a start: while the worker joins, recovers or serves."""


async def killed(stage: Stage, fault: Fault) -> float:
    draw = Random(fault.seed)
    (name,) = stage.workers
    for left in range(fault.again, -1, -1):
        stage.kill(name)
        at = time.monotonic()
        stage.start(name)
        if left:
            await asyncio.sleep(draw.uniform(0.0, MAX_COMING_BACK))
    return at


async def stopped(stage: Stage, fault: Fault) -> float:
    (name,) = stage.workers
    status = await stage.stop(name)
    at = time.monotonic()  # until now it finished its work in progress
    if status:
        stage.ended.append(f"worker {name} ended with status {status} after SIGTERM")
    stage.start(name)
    return at


async def frozen(stage: Stage, fault: Fault) -> float:
    """Freeze a worker; another may take over its partitions; then resume it, unaware of the loss."""
    draw = Random(fault.seed)
    (name,) = stage.workers
    stage.signal(name, signal.SIGSTOP)
    other = stage.free_name() if draw.random() < 0.6 else None
    if other is not None:
        stage.start(other)
    await asyncio.sleep(fault.hold)
    stage.signal(name, signal.SIGCONT)
    at = time.monotonic()
    if other is not None:
        await asyncio.sleep(draw.uniform(0.0, 4.0))
        await _end(stage, draw.choice((name, other)), kill=draw.random() < 0.5)
        at = time.monotonic()
    return at


async def join_and_leave(stage: Stage, fault: Fault) -> float:
    """Add one or two workers, then stop or kill all but a random one."""
    draw = Random(fault.seed)
    for _ in range(draw.choice((1, 2))):
        stage.start(stage.free_name())
        await asyncio.sleep(draw.uniform(0.0, 1.0))
    await asyncio.sleep(draw.uniform(0.0, 3.0) + fault.hold)
    for name in draw.sample(list(stage.workers), len(stage.workers) - 1):
        await _end(stage, name, kill=draw.random() < 0.6)
    return time.monotonic()


async def _end(stage: Stage, name: str, *, kill: bool) -> None:
    stage.operator.leave(name)
    if kill:
        stage.kill(name)
    else:
        await stage.stop(name)
