"""Faults of the state folder: truncated, overwritten and deleted files, and a full disk."""

import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from random import Random

from tests.faults.schedule import Fault
from tests.faults.stage import Stage

BALLAST_BYTES = 64 * 1024


async def damaged(stage: Stage, fault: Fault) -> float:
    """Damage the worker's files while it is dead."""
    draw = Random(fault.seed)
    (name,) = stage.workers
    state = stage.states / name
    stage.kill(name)
    at = time.monotonic()
    damage(state, draw)
    stage.start(name)
    return at


def damage(state: Path, draw: Random) -> str:
    """Truncate, overwrite or delete some of the files below `state`, or delete all; returns what was done."""
    how = draw.choice(("cut", "cut", "overwrite", "overwrite", "delete", "lose"))
    if how == "lose":
        shutil.rmtree(state, ignore_errors=True)
        return how
    files = sorted(path for path in state.rglob("*") if path.is_file() and path.stat().st_size > 0)
    for path in draw.sample(files, min(len(files), draw.randint(1, 6))):
        size = path.stat().st_size
        with path.open("r+b") as file:
            if how == "cut":
                file.truncate(draw.randrange(size))
            elif how == "overwrite":
                file.seek(draw.randrange(size))
                file.write(draw.randbytes(min(64, size)))
        if how == "delete":
            path.unlink()
    return how


async def full(stage: Stage, fault: Fault) -> float:
    """Fill the disk of the state, then free it."""
    ballast = stage.states / "ballast"
    until = time.monotonic() + fault.hold
    try:
        with ballast.open("ab", buffering=0) as file:
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(BALLAST_BYTES))
                await asyncio.sleep(0.05)  # also fills space that the worker frees meanwhile
    finally:
        ballast.unlink(missing_ok=True)
    return time.monotonic()
