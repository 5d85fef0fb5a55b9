"""The implementation of each kind of fault: inject, hold and lift it, and return the time when its cause was gone."""

from collections.abc import Awaitable, Callable, Mapping

from tests.faults.schedule import Fault, Kind
from tests.faults.stage import Stage
from tests.faults.strikes import brokers, cluster, disks, inputs, learner, learning, records, scorers, workers

Strike = Callable[[Stage, Fault], Awaitable[float]]

STRIKES: Mapping[Kind, Strike] = {
    Kind.WORKER_KILLED: workers.killed,
    Kind.WORKER_STOPPED: workers.stopped,
    Kind.WORKER_FROZEN: workers.frozen,
    Kind.WORKERS_JOIN_AND_LEAVE: workers.join_and_leave,
    Kind.STATE_DAMAGED: disks.damaged,
    Kind.DISK_FULL: disks.full,
    Kind.CLOCK_STEPPED: inputs.clock_stepped,
    Kind.BROKER_STOPPED: brokers.stopped,
    Kind.BROKER_KILLED: brokers.killed,
    Kind.CHANGELOG_COMPACTED: brokers.compacted,
    Kind.SCORER_KILLED: scorers.killed,
    Kind.SCORER_FROZEN: scorers.frozen,
    Kind.SCORER_SLOW: scorers.scripted,
    Kind.SCORER_NOT_FINITE: scorers.scripted,
    Kind.SCORER_WRONG_LENGTH: scorers.scripted,
    Kind.SCORER_FAILS: scorers.scripted,
    Kind.SCORER_SWAPPED: scorers.swapped,
    Kind.POISON: inputs.poison,
    Kind.FLOOD: inputs.flood,
    Kind.CODEC: records.codec,
    Kind.TRANSACTION: records.transaction,
    Kind.OVERSIZED: records.oversized,
    Kind.PARTITIONS_ADDED: cluster.partitions_added,
    Kind.TOPIC_RECREATED: cluster.topic_recreated,
    Kind.RETENTION_GAP: records.retention_gap,
    Kind.BROKER_MOVED: cluster.moved,
    Kind.PERMISSION_REVOKED: cluster.revoked,
    Kind.LOG_KILLED: learning.log_killed,
    Kind.PLACING_KILLED: learning.placing_killed,
    Kind.VERSION_LOAD_KILLED: learning.load_killed,
    Kind.VERSION_SWITCHED: learning.switched,
    Kind.LEARNER_KILLED: learner.killed,
}
