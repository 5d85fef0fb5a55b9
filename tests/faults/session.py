"""One session on one broker: a series of faults under load, then a comparison with an undisturbed fold of the input."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from schemas.topics import CONTEXTS, DEAD_LETTERS, EVENTS, FEEDBACK, NEIGHBOURS, Topic
from streams.fold.context import Context
from tests.faults.group import Group
from tests.faults.operator import silent
from tests.faults.schedule import KEEP_SERVING, NEED_TRITON, Fault
from tests.faults.stage import APP, Stage
from tests.faults.strikes import STRIKES
from tests.faults.training_log import belonging
from tests.faults.verdict import (
    Accepted,
    Outage,
    Place,
    Rows,
    Verdict,
    distinct_users,
    folds,
    miscounted,
    rows_of,
    unanswered,
    without_role,
    wrong_letters,
)
from tests.support.patience import PATIENCE
from tests.support.plane import Expected, contexts_of, counts_of, markings_of
from tests.support.topics import read_all

RECOVERY_SECONDS = 120.0
"""Maximum recovery time: lists on every partition this long after the cause of a fault is gone."""

SETTLE_SECONDS = 2 * PATIENCE
ANSWERED_AGE_MS = 60_000
"""Events younger than this on arrival must be answered with a list."""

QUIET_MS = 1_500
SIGNS_SECONDS = 5.0


@dataclass(frozen=True)
class Struck:
    """The result of one fault: the recovery time after its cause was gone, and the signs seen."""

    fault: Fault
    recovery_seconds: float
    signs: tuple[str, ...]


@dataclass
class Session:
    struck: list[Struck] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    verdict: Verdict | None = None
    broken: list[str] = field(default_factory=list)


Say = Callable[[str], None]


async def play(stage: Stage, faults: Sequence[Fault], say: Say) -> Session:
    """Inject each of `faults`, waiting for recovery each time, and then compute the verdict."""
    session = Session()
    model = stage.scorer is not None
    began = time.monotonic()
    await stage.watch.restored(0.0, with_model=model, seconds=RECOVERY_SECONDS)
    session.outages.append(Outage(began - RECOVERY_SECONDS, time.monotonic()))  # startup is not a fault
    for fault in faults:
        if not await _strike(stage, fault, session, say):
            break
        await asyncio.sleep(fault.pause)
    session.verdict = await _judge(stage, session.outages)
    say(f"{session.verdict}; the machine stalled for {stage.pulse.seconds():.1f} s")
    session.broken += session.verdict.broken()
    session.broken += stage.ended
    return session


async def _strike(stage: Stage, fault: Fault, session: Session, say: Say) -> bool:
    """Inject one fault; returns whether everything recovered in time."""
    await stage.operator.calm(fault.kind, seconds=PATIENCE)
    stage.operator.mark()
    await stage.load.burst(fault.burst)
    await asyncio.sleep(fault.delay)
    began = time.monotonic()
    try:
        lifted = await STRIKES[fault.kind](stage, fault)
        restored = await _restored(stage, lifted, with_model=fault.kind in NEED_TRITON)
    except Exception as error:
        session.broken.append(f"fault {fault.number} ({fault.kind.value}): {type(error).__name__} {error}".strip())
        session.outages.append(Outage(began, time.monotonic()))
        return False
    if fault.kind not in KEEP_SERVING:
        session.outages.append(Outage(began, restored))
    signs, missing = await _signs(stage, fault)
    for how in missing:
        session.broken.append(f"fault {fault.number} ({fault.kind.value}): no {how} revealed it")
    struck = Struck(fault, restored - lifted, tuple(signs))
    session.struck.append(struck)
    say(f"{fault.number:4d}  {fault.kind.value:<24} {struck.recovery_seconds:7.2f} s  {'; '.join(struck.signs)}")
    return True


async def _restored(stage: Stage, since: float, *, with_model: bool) -> float:
    """Wait until every partition is served again, by a group that no longer changes; returns the time.

    Lists alone do not tell: a worker that is killed while it joins leaves the others serving, until the rebalance that
    it began stops them for as long as its session lasts.
    """
    async with asyncio.timeout(RECOVERY_SECONDS), Group(stage.broker.bootstrap, APP) as group:
        while True:
            restored = await stage.watch.restored(since, with_model=with_model, seconds=RECOVERY_SECONDS)
            if await group.stable(len(stage.workers)):
                return restored
            await group.until_stable(len(stage.workers))
            since = time.monotonic()


async def _signs(stage: Stage, fault: Fault) -> tuple[list[str], list[str]]:
    """The signs of a fault, and those that are still missing after `SIGNS_SECONDS`: a service may recover before it
    tells."""
    deadline = time.monotonic() + SIGNS_SECONDS
    while True:
        await stage.operator.look()
        signs = stage.operator.signs(fault.kind)
        missing = silent(fault.kind, signs, alerts=stage.operator.monitor is not None)
        if not missing or time.monotonic() > deadline:
            return signs, missing
        await asyncio.sleep(SIGNS_SECONDS / 10)


async def _judge(stage: Stage, outages: Sequence[Outage]) -> Verdict:
    """Wait for everything to settle, and compare. A reader cannot know that it has read everything, so it retries until
    nothing is broken or `SETTLE_SECONDS` pass."""
    await stage.load.stop()
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        verdict, differences = await _compare(stage, outages)
        (stage.folder / "differences.txt").write_text(differences)
        if not verdict.broken() or time.monotonic() > deadline:
            return verdict


async def _compare(stage: Stage, outages: Sequence[Outage]) -> tuple[Verdict, str]:
    current = await _read(stage, EVENTS)
    events = _with_archived(stage, current)
    contexts = await _read(stage, CONTEXTS)
    expected = Expected(events, markings_of(contexts))
    held = contexts_of(contexts)
    counted = counts_of(await _read(stage, NEIGHBOURS))
    letters = [*stage.letters.items(), *stage.letters_of(await _read(stage, DEAD_LETTERS))]
    # It is unknown which of the last records before a gap were read.
    given = [(place, value) for place, value in letters if place not in stage.expired]
    late = _late(stage, events, expected, outages)
    read = {(record.partition, record.offset) for record in events}
    missing = stage.load.accepted.keys() - stage.expired - read
    found = folds(expected.contexts, held)
    wrong = wrong_letters(expected.refused, given)
    rows = await _log(stage, current)
    spans = {} if stage.versions is None else stage.versions.spans
    unled = without_role(stage.watch.made, spans)
    verdict = Verdict(
        accepted=len(expected.accepted),
        lost=found.lost + len(missing),
        folded_twice=found.twice,
        differing=found.differing,
        miscounted=miscounted(expected.seen, counted),
        refused=len(expected.refused),
        wrong_letters=len(wrong),
        without_list=distinct_users(late),
        unlogged=sum(len(each.missing) for each in rows),
        logged_twice=sum(len(each.twice) for each in rows),
        wrong_rows=sum(len(each.wrong) for each in rows),
        wrong_versions=len(unled) + len(stage.watch.mixed),
    )
    odd = [
        f"letter at {place}: refused {repr(expected.refused.get(place, 'no'))[:80]}, "
        f"given {[repr(value)[:80] for at, value in given if at == place]}, load.bases {stage.load.bases}"
        for place in sorted(wrong)
    ]
    odd += [f"training log: {each}" for each in rows if each != Rows(*3 * (frozenset(),))]
    odd += [f"list of a version without a role: {each}; roles {spans}" for each in unled]
    odd += [f"list of {each} with scores of another version" for each in stage.watch.mixed]
    return verdict, "\n".join([*odd, _differences(expected, held, counted, late)])


def _with_archived(stage: Stage, events: Sequence[Any]) -> list[Any]:
    """The records of a topic, plus expired ones, minus those that expired unread."""
    found = stage.archived | stage.placed(events)
    return [found[place] for place in sorted(found) if place not in stage.expired]


async def _log(stage: Stage, events: Sequence[Any]) -> tuple[Rows, Rows]:
    """Compare the training log with the events, deleted ones included, and with the feedback."""
    accepted = belonging(stage.archived | stage.placed(events), EVENTS)
    feedback = {(record.partition, record.offset): record for record in await _read(stage, FEEDBACK)}
    logged = await asyncio.to_thread(stage.log.events, stage.load.bases)
    reactions = await asyncio.to_thread(stage.log.feedback)
    return rows_of(accepted, logged), rows_of(belonging(feedback, FEEDBACK), reactions)


async def _read(stage: Stage, topic: Topic) -> list[Any]:
    """All records of a topic, with retries while the broker is busy."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            try:
                return await read_all(stage.broker.bootstrap, topic.name, QUIET_MS)
            except KafkaError:
                await asyncio.sleep(1.0)


def _differences(
    expected: Expected, held: Mapping[str, Context], counted: Mapping[str, int], late: Sequence[Accepted]
) -> str:
    """The differences as text, for debugging. All users and items of a run are synthetic."""
    lines = [
        f"{item}: {expected.seen.get(item, 0)} accepted, {counted.get(item, 0)} counted"
        for item in sorted(expected.seen.keys() | counted.keys())
        if expected.seen.get(item, 0) != counted.get(item, 0)
    ]
    lines += [
        f"{user}:\n  expected {expected.contexts.get(user)}\n  held     {held.get(user)}"
        for user in sorted(expected.contexts.keys() | held.keys())
        if expected.contexts.get(user) != held.get(user)
    ]
    lines += [f"not answered in time: {each}" for each in late]
    return "\n".join([*lines, ""])


def _late(stage: Stage, events: Sequence[Any], expected: Expected, outages: Sequence[Outage]) -> list[Accepted]:
    made: dict[Place, int] = {(record.partition, record.offset): record.timestamp for record in events}
    wanted = [
        Accepted(event.user, place, at)
        for place, event in expected.accepted.items()
        if made[place] - event.ts < ANSWERED_AGE_MS and (at := stage.load.accepted.get(place)) is not None
    ]
    gone = [*outages, *stage.pulse.stalls]
    return unanswered(wanted, list(stage.watch.answers), gone, stage.allowed)
