"""Faults of the model's server: killed, frozen, slow, failing, returning nonsense, and changing its version."""

import asyncio
import time

from schemas.models import Role
from tests.faults import scripts
from tests.faults.schedule import Fault, Kind
from tests.faults.scorer import Scorer
from tests.faults.scripts import version_name
from tests.faults.stage import Stage
from tests.faults.strikes.learning import ANSWER_SECONDS, parts, promoted

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
    """Load another version in place of all others under load, so that it answers instead of the one that workers name;
    then make it the champion."""
    scorer, versions = parts(stage)
    old, new = versions.champion, await asyncio.to_thread(scorer.add_version)
    versions.allow(new)
    await versions.load([new])
    at = time.monotonic()
    await stage.watch.version(version_name(new), at, seconds=ANSWER_SECONDS)
    behind = await versions.give(Role.CHAMPION, new)
    await versions.acked(behind, champion=new, challenger=None, workers=len(stage.workers), since=at)
    await promoted(stage, old, new)
    return at
