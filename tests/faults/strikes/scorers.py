"""Faults of the model's server: killed, frozen, slow, failing, returning nonsense, and changing its version."""

import asyncio
import time

from tests.faults import scripts
from tests.faults.schedule import Fault, Kind
from tests.faults.scorer import Scorer
from tests.faults.stage import Stage

SCRIPTS = {
    Kind.SCORER_SLOW: scripts.SLOW,
    Kind.SCORER_NOT_FINITE: scripts.NOT_FINITE,
    Kind.SCORER_WRONG_LENGTH: scripts.WRONG_LENGTH,
    Kind.SCORER_FAILS: scripts.FAIL,
}


def _scorer(stage: Stage) -> Scorer:
    assert stage.scorer is not None, "faults of the scorer are scheduled only with a scorer"
    return stage.scorer


async def killed(stage: Stage, fault: Fault) -> float:
    scorer = _scorer(stage)
    await asyncio.to_thread(scorer.kill)
    await asyncio.sleep(fault.hold)
    await asyncio.to_thread(scorer.start)
    return time.monotonic()


async def frozen(stage: Stage, fault: Fault) -> float:
    scorer = _scorer(stage)
    scorer.freeze()
    try:
        await asyncio.sleep(fault.hold)
    finally:
        scorer.thaw()
    return time.monotonic()


async def scripted(stage: Stage, fault: Fault) -> float:
    scorer = _scorer(stage)
    scorer.tell(SCRIPTS[fault.kind])
    try:
        await asyncio.sleep(fault.hold)
    finally:
        scorer.tell(scripts.ANSWER)
    return time.monotonic()


async def swapped(stage: Stage, fault: Fault) -> float:
    """Load another version under load, and wait until lists use it."""
    scorer = _scorer(stage)
    version = await asyncio.to_thread(scorer.swap)
    at = time.monotonic()
    await stage.watch.version(version, seconds=60.0)
    return at
