"""Faults of the learning loop: kill -9 while the log is written, while a version is placed, loaded, or switched to."""

import asyncio
import time
from random import Random

from inference.errors import TritonFailed
from inference.triton.repository import served
from schemas.models import Role
from tests.faults import placing
from tests.faults.schedule import Fault
from tests.faults.scorer import Scorer
from tests.faults.scripts import version_name
from tests.faults.stage import Stage
from tests.faults.versions import Versions
from tests.support.log_process import kill_while_writing

PLACING_SECONDS = 0.2
LOADING_SECONDS = 3.0
"""About how long both take: the kill comes within this time."""

ANSWER_SECONDS = 60.0


def parts(stage: Stage) -> tuple[Scorer, Versions]:
    assert stage.scorer is not None, "faults of versions are scheduled only with a scorer"
    assert stage.versions is not None, "a stage with a scorer has versions"
    return stage.scorer, stage.versions


async def log_killed(stage: Stage, fault: Fault) -> float:
    """Kill `ouzel log` while it writes, or at any time, up to twice more when it is back."""
    draw = Random(fault.seed)
    for _ in range(fault.again + 1):
        await stage.log.works()
        await kill_while_writing(stage.log.take(), draw)
        at = time.monotonic()
        stage.start_log()
    await stage.log.works()
    return at


async def placing_killed(stage: Stage, fault: Fault) -> float:
    """Kill a process that places a version. The repository has only complete versions. Then the version is placed, and
    loaded in place of the other one."""
    draw = Random(fault.seed)
    scorer, versions = parts(stage)
    number = scorer.new_number()
    for left in range(fault.again + 1, -1, -1):
        process = await asyncio.to_thread(placing.begin, scorer.repository, number, scorer.adapter)
        if left:
            await asyncio.sleep(draw.uniform(0.0, PLACING_SECONDS))
        status = await asyncio.to_thread(placing.end, process, kill=bool(left))
        wrong = await asyncio.to_thread(placing.incomplete, scorer.repository, scorer.adapter)
        assert not wrong, "; ".join(wrong)
    assert status == 0, f"placing ended with status {status}"
    await versions.load([versions.champion, number])
    if versions.other != 1:
        await versions.retire(versions.other)
    versions.other = number
    return time.monotonic()


async def load_killed(stage: Stage, fault: Fault) -> float:
    """Kill the server while it loads a second version. It comes back with the versions that it had before, or if the
    load was complete, with both."""
    draw = Random(fault.seed)
    scorer, versions = parts(stage)
    both = sorted((versions.champion, versions.other))
    for _ in range(fault.again + 1):
        await versions.load([versions.champion])
        loading = asyncio.create_task(versions.load(both))
        await asyncio.sleep(draw.uniform(0.0, LOADING_SECONDS))
        await asyncio.to_thread(scorer.kill)
        (error,) = await asyncio.gather(loading, return_exceptions=True)
        if error is not None and not isinstance(error, TritonFailed):
            raise error
        expected = sorted(served(scorer.repository))
        assert expected in (both, [versions.champion]), f"the repository serves {expected} after a killed load"
        assert error is not None or expected == both, "a load that was complete is not in the configuration"
        await asyncio.to_thread(scorer.start)
        await versions.check(expected)
    await versions.load(both)
    return time.monotonic()


async def switched(stage: Stage, fault: Fault) -> float:
    """Take the other version from shadow through canary to champion, each step acknowledged. The worker is killed and
    restarted in one of them."""
    draw = Random(fault.seed)
    _, versions = parts(stage)
    old, new = versions.champion, versions.other
    await versions.load([old, new])
    steps = (Role.SHADOW, 0.0), (Role.CANARY, draw.uniform(0.2, 0.8)), (Role.CHAMPION, 0.0)
    struck = draw.randrange(len(steps))
    for number, (role, share) in enumerate(steps):
        if role is not Role.SHADOW:
            versions.allow(new)
        since = time.monotonic()
        behind = await versions.give(role, new, share=share)
        if number == struck:
            await asyncio.sleep(draw.choice((0.0, draw.uniform(0.0, fault.hold))))
            (name,) = stage.workers
            stage.kill(name)
            since = time.monotonic()
            stage.start(name)
        champion, challenger = (new, None) if role is Role.CHAMPION else (old, new)
        await versions.acked(behind, champion=champion, challenger=challenger, workers=len(stage.workers), since=since)
    await promoted(stage, old, new)
    return time.monotonic()


async def promoted(stage: Stage, old: int, new: int) -> None:
    """Retire the champion before, whose successor all workers have acknowledged, and wait for the successor's lists."""
    _, versions = parts(stage)
    versions.deny(old)
    at = time.monotonic()
    behind = await versions.give(Role.RETIRED, old)
    await versions.acked(behind, champion=new, challenger=None, workers=len(stage.workers), since=at)
    versions.champion, versions.other = new, old
    await stage.watch.version(version_name(new), at, seconds=ANSWER_SECONDS)
