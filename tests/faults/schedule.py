"""The schedule of faults: kinds, order, severity and duration, drawn from a seed so that runs are repeatable. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """A kind of fault."""

    WORKER_KILLED = "worker_killed"
    WORKER_STOPPED = "worker_stopped"
    WORKER_FROZEN = "worker_frozen"
    WORKERS_JOIN_AND_LEAVE = "workers_join_and_leave"
    STATE_DAMAGED = "state_damaged"
    DISK_FULL = "disk_full"
    CLOCK_STEPPED = "clock_stepped"
    BROKER_STOPPED = "broker_stopped"
    BROKER_KILLED = "broker_killed"
    CHANGELOG_COMPACTED = "changelog_compacted"
    SCORER_KILLED = "scorer_killed"
    SCORER_FROZEN = "scorer_frozen"
    SCORER_SLOW = "scorer_slow"
    SCORER_NOT_FINITE = "scorer_not_finite"
    SCORER_WRONG_LENGTH = "scorer_wrong_length"
    SCORER_FAILS = "scorer_fails"
    SCORER_SWAPPED = "scorer_swapped"
    POISON = "poison"
    FLOOD = "flood"
    CODEC = "codec"
    TRANSACTION = "transaction"
    OVERSIZED = "oversized"
    PARTITIONS_ADDED = "partitions_added"
    TOPIC_RECREATED = "topic_recreated"
    RETENTION_GAP = "retention_gap"
    BROKER_MOVED = "broker_moved"
    PERMISSION_REVOKED = "permission_revoked"
    LOG_KILLED = "log_killed"
    PLACING_KILLED = "placing_killed"
    VERSION_LOAD_KILLED = "version_load_killed"
    VERSION_SWITCHED = "version_switched"
    LEARNER_KILLED = "learner_killed"


NEED_KAFKA = frozenset(
    {
        Kind.BROKER_STOPPED,
        Kind.BROKER_KILLED,
        Kind.BROKER_MOVED,
        Kind.CHANGELOG_COMPACTED,
        Kind.CODEC,
        Kind.TRANSACTION,
        Kind.OVERSIZED,
        Kind.PARTITIONS_ADDED,
        Kind.TOPIC_RECREATED,
        Kind.RETENTION_GAP,
        Kind.PERMISSION_REVOKED,
    }
)
"""Kinds that the embedded broker does not support: it keeps everything in memory, and has no ACLs or transactions."""

NEED_TRITON = frozenset(kind for kind in Kind if kind.value.startswith("scorer_")) | {
    Kind.PLACING_KILLED,
    Kind.VERSION_LOAD_KILLED,
    Kind.VERSION_SWITCHED,
    Kind.LEARNER_KILLED,
}
NEED_MOUNT = frozenset({Kind.DISK_FULL})
"""Kinds that need a separate file system, small enough to be filled."""

KEEP_SERVING = (NEED_TRITON - {Kind.VERSION_SWITCHED}) | {
    Kind.POISON,
    Kind.FLOOD,
    Kind.CLOCK_STEPPED,
    Kind.CODEC,
    Kind.OVERSIZED,
    Kind.LOG_KILLED,
}
"""Faults that stop no worker: lists must meet their deadline throughout."""

WEIGHTS = dict.fromkeys(Kind, 1) | {
    Kind.WORKER_KILLED: 10,
    Kind.WORKERS_JOIN_AND_LEAVE: 4,
    Kind.WORKER_STOPPED: 2,
    Kind.WORKER_FROZEN: 2,
    Kind.BROKER_KILLED: 2,
    Kind.STATE_DAMAGED: 3,
    Kind.DISK_FULL: 2,
    Kind.LOG_KILLED: 4,
    Kind.PLACING_KILLED: 2,
    Kind.VERSION_LOAD_KILLED: 3,
    Kind.VERSION_SWITCHED: 4,
    Kind.LEARNER_KILLED: 3,
}
"""Weights of the kinds, after each was drawn once."""

HOLDS = dict.fromkeys(Kind, (1.0, 4.0)) | {
    Kind.WORKER_FROZEN: (3.0, 10.0),
    Kind.SCORER_FROZEN: (6.5, 9.0),
    Kind.SCORER_SLOW: (6.5, 9.0),
    Kind.BROKER_KILLED: (0.0, 3.0),
    Kind.BROKER_STOPPED: (0.0, 3.0),
    Kind.BROKER_MOVED: (0.0, 8.0),
}
"""Minimum and maximum seconds that a fault lasts. The group evicts a frozen worker after six; a scrape waits two."""

MAX_BURST = 300
MAX_DELAY = 1.5
MAX_PAUSE = 1.0


@dataclass(frozen=True)
class Fault:
    """One fault.

    `burst` events are sent at once, besides the steady load, `delay` seconds before the fault, which lasts `hold`
    seconds. A killed process is killed again `again` times while it restarts. `seed` is for the random choices of a
    kind. The next fault waits `pause` seconds after recovery.
    """

    number: int
    kind: Kind
    burst: int
    delay: float
    hold: float
    again: int
    pause: float
    seed: int


def schedule(seed: int, count: int, kinds: Collection[Kind]) -> tuple[Fault, ...]:
    """`count` faults of `kinds`, each kind at least once if there is room, in an order that depends only on the seed.

    Raises ValueError without kinds or for a negative count.
    """
    allowed = [kind for kind in Kind if kind in kinds]
    if not allowed or count < 0:
        raise ValueError("a schedule needs at least one kind and a count of 0 or more")
    draw = Random(seed)
    chosen = draw.sample(allowed, min(count, len(allowed)))
    chosen += draw.choices(allowed, [WEIGHTS[kind] for kind in allowed], k=count - len(chosen))
    draw.shuffle(chosen)
    return tuple(_fault(draw, number, kind) for number, kind in enumerate(chosen))


def _fault(draw: Random, number: int, kind: Kind) -> Fault:
    return Fault(
        number=number,
        kind=kind,
        burst=draw.randrange(MAX_BURST + 1),
        delay=draw.uniform(0.0, MAX_DELAY),
        hold=draw.uniform(*HOLDS[kind]),
        again=draw.choices((0, 1, 2), (6, 2, 1))[0],
        pause=draw.uniform(0.0, MAX_PAUSE),
        seed=draw.getrandbits(32),
    )
