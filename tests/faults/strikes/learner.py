"""kill -9 of the learner while it trains, while it writes a version, and between a verdict and its record."""

import asyncio
import time
from random import Random
from typing import Any

from deploy.local.processes import Child
from inference.triton.placing import placed
from inference.triton.ports import free_ports
from inference.triton.repository import served
from inference.versions.store import FIRST, VersionStore
from schemas.codec import decode
from schemas.models import ModelStatus, Role
from schemas.topics import MODELS
from tests.faults import placing
from tests.faults.learner import RULES, SECONDS, Learner, Moment, is_over, partial, verdicts_of, wrong_outcome
from tests.faults.operator import LEARNER_NAME
from tests.faults.schedule import Fault
from tests.faults.scripts import version_name
from tests.faults.stage import Stage
from tests.faults.strikes.learning import ANSWER_SECONDS, parts
from tests.support.patience import PATIENCE
from tests.support.topics import read_all

LOOK_SECONDS = 0.2


async def killed(stage: Stage, fault: Fault) -> float:
    """Kill the learner at one to three moments, and let a new one go on each time. No version is ever there in part,
    and in the end the roles are those that the store has verdicts for."""
    draw = Random(fault.seed)
    scorer, versions = parts(stage)
    await stage.log.works()
    store = VersionStore(stage.folder / f"versions-{fault.number}")
    old, before = versions.champion, len(await _roles(stage))
    kind = draw.choice(list(RULES))
    output, (port,) = stage.folder / "learner.log", free_ports(1)
    moments = sorted(draw.sample(list(Moment), fault.again + 1), key=list(Moment).index)
    learner: Child | None = None
    try:
        for moment in (*moments, None):
            learner = new = Learner(
                scorer, store, brokers=stage.broker.bootstrap, log=stage.log.root, output=output, port=port, kind=kind
            )
            stage.operator.follow(LEARNER_NAME, port, output)
            if moment is not None:
                await asyncio.to_thread(new.wait_for, moment)
                await asyncio.sleep(draw.uniform(0.0, SECONDS[moment]))
                new.kill()
            else:
                await _until_settled(stage, new, store, before)
            wrong = await asyncio.to_thread(partial, store, scorer.adapter)
            wrong += await asyncio.to_thread(placing.incomplete, scorer.repository, scorer.adapter)
            assert not wrong, "; ".join(wrong)
        assert await asyncio.to_thread(new.stop, 30.0) == 0, f"the learner ended with {new.returncode}: {new.tail()}"
    finally:
        if learner is not None:
            learner.kill()
        stage.operator.leave(LEARNER_NAME)
        records = (await _roles(stage))[before:]
        versions.learned([(decode(ModelStatus, each.value), each.timestamp) for each in records])
    await _judged(stage, store, old, records)
    return time.monotonic()


async def _roles(stage: Stage) -> list[Any]:
    return [record for record in await read_all(stage.broker.bootstrap, MODELS.name) if record.value is not None]


async def _until_settled(stage: Stage, learner: Learner, store: VersionStore, before: int) -> None:
    """Wait until the version that was made has its outcome, and nothing is left to do."""
    scorer, _ = parts(stage)
    async with asyncio.timeout(PATIENCE):
        while True:
            assert learner.running(), f"the learner ended with status {learner.returncode}: {learner.tail()}"
            await asyncio.sleep(LOOK_SECONDS)
            if not any(is_over(verdicts_of(store)[number]) for number in store.numbers()):
                continue
            roles = {decode(ModelStatus, each.value).role for each in (await _roles(stage))[before:]}
            # What made room is retired, unloaded, and deleted.
            if Role.RETIRED in roles and len(set(placed(scorer.repository)) - {FIRST}) <= 1:
                return


async def _judged(stage: Stage, store: VersionStore, old: int, records: list[Any]) -> None:
    """Check the outcome, and let the harness go on from it."""
    scorer, versions = parts(stage)
    (number,) = store.numbers()
    verdicts = verdicts_of(store)
    given = [decode(ModelStatus, each.value) for each in records]
    wrong = wrong_outcome(number, old, verdicts, [(each.number, each.role) for each in given])
    assert not wrong, "; ".join(wrong)
    champion = number if "promoted" in verdicts[number] else old
    versions.champion = champion
    assert sorted(served(scorer.repository)) == [champion], f"{served(scorer.repository)} are served, not {champion}"
    await versions.check([champion])
    at, behind = time.monotonic(), records[-1].offset + 1
    await versions.acked(behind, champion=champion, challenger=None, workers=len(stage.workers), since=0.0)
    versions.deny(old if champion == number else number)
    scorer.taken(number)
    beside = [each for each in placed(scorer.repository) if each != champion]
    versions.other = beside[0] if beside else await asyncio.to_thread(scorer.add_version)
    await stage.watch.version(version_name(champion), at, seconds=ANSWER_SECONDS)
