"""Plan and run sessions from options: the available brokers and parts, and the faults of each session."""

import asyncio
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.brokers import Broker, EmbeddedBroker
from inference.errors import TritonNotAvailable
from inference.triton.installation import find_installation
from tests.faults.cluster import FaultyKafka
from tests.faults.schedule import NEED_KAFKA, NEED_MOUNT, NEED_TRITON, Fault, Kind, schedule
from tests.faults.scorer import Scorer
from tests.faults.session import Say, Session, play
from tests.faults.stage import ALLOWED_SECONDS, Stage, mount, unmount

BROKERS = {"embedded": EmbeddedBroker, "kafka": FaultyKafka}
SESSION_FAULTS = 20
"""Maximum faults of one session. After each session the results are compared, and the next starts with a new broker."""

RATE = 25.0


def missing_parts(say: Say) -> frozenset[Kind]:
    """The kinds that this machine does not support; prints the reasons."""
    missing: frozenset[Kind] = frozenset()
    try:
        find_installation()
    except TritonNotAvailable as error:
        say(f"without faults of the scorer: {error}")
        missing |= NEED_TRITON
    with tempfile.TemporaryDirectory() as folder:
        if mount(Path(folder)):
            unmount(Path(folder))
        else:
            say("without full disks: they need a small file system, and only root can mount one (tmpfs)")
            missing |= NEED_MOUNT
    return missing


def plan(seed: int, count: int, brokers: Sequence[str], kinds: Iterable[Kind]) -> list[tuple[str, tuple[Fault, ...]]]:
    """The sessions: pairs of a broker and its faults, one broker after the other."""
    wanted = frozenset(kinds)
    sessions: list[tuple[str, tuple[Fault, ...]]] = []
    for number, broker in enumerate(brokers):
        share = count // len(brokers) + (number < count % len(brokers))
        faults = schedule(seed + number, share, wanted if broker == "kafka" else wanted - NEED_KAFKA)
        sessions += [(broker, faults[at : at + SESSION_FAULTS]) for at in range(0, share, SESSION_FAULTS)]
    return sessions


@dataclass(frozen=True)
class Options:
    """Options of a run: number and kinds of faults, brokers, seed, events per second (`rate`), and the seconds within
    which a list is in time (`allowed`)."""

    faults: int
    brokers: Sequence[str] = tuple(BROKERS)
    kinds: Collection[Kind] = tuple(Kind)
    seed: int = 1
    rate: float = RATE
    allowed: float = ALLOWED_SECONDS


async def run(folder: Path, options: Options, say: Say) -> list[Session]:
    """Run every session in a separate folder; stops after the first with a broken promise."""
    wanted = frozenset(options.kinds) - missing_parts(say)
    with_scorer = bool(wanted & NEED_TRITON)
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        say("without alerts: prometheus is not installed (apt-get install prometheus)")
    played: list[Session] = []
    for number, (name, faults) in enumerate(plan(options.seed, options.faults, options.brokers, wanted)):
        say(f"-- session {number}: {len(faults)} faults on the {name} broker")
        here = folder / f"{number}-{name}"
        with await asyncio.to_thread(_started, BROKERS[name](here / "broker")) as broker:
            scorer = Scorer(here / "scorer") if with_scorer else None
            async with Stage(
                broker,
                here,
                scorer=scorer,
                seed=options.seed * 1000 + number,
                rate=options.rate,
                allowed=options.allowed,
                prometheus=prometheus,
            ) as stage:
                session = await play(stage, faults, say)
        played.append(session)
        for sentence in session.broken:
            say(f"BROKEN: {sentence}")
        if session.broken:
            break
    return played


def _started(broker: Broker) -> Broker:
    return broker.start()
